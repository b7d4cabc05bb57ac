"use strict";

// Everything that a file or the server says goes through textContent: names may look like HTML.
const at = (id) => document.getElementById(id);
const MAX_RETRIES = 5;
let models = [];
let answers = [];

const element = (tag, text, className) => {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
};

const tell = (text, isWrong = false) => {
  at("state").textContent = text;
  at("state").classList.toggle("wrong", isWrong);
};

const headers = () => (at("key").value ? { Authorization: `Bearer ${at("key").value}` } : {});

const model = () => models.find((one) => one.name === at("model").value) || models[0];

// Classes that exclude one another share one probability; of the others, an image may have several, or none.
const hasSeveral = () => model().model.activation === "sigmoid" && model().classes > 1;

const percent = (guess) => (guess.probability === null ? guess.logit.toFixed(3) : `${(100 * guess.probability).toFixed(1)} %`);

const address = (query) => `v1/classify?model=${encodeURIComponent(model().name)}${query}`;

const pause = (seconds) => new Promise((resolve) => setTimeout(resolve, 1000 * seconds));

// One photo: its answer, or a sentence on why there is none. A busy server is asked again when it says.
async function classify(file) {
  for (let attempt = 0; ; attempt += 1) {
    let reply;
    try {
      reply = await fetch(address(`&maps=1&seen=1${hasSeveral() ? "&threshold=0.5" : ""}`), { method: "POST", body: file, headers: { ...headers(), "Content-Type": "application/octet-stream" } });
    } catch {
      return { error: "The server cannot be reached. Is it running, and is this machine online?" };
    }
    if (reply.status === 503 && attempt < MAX_RETRIES) {
      const seconds = Number(reply.headers.get("Retry-After")) || 1;
      tell(`The server is busy; asking again in ${seconds} s.`);
      await pause(seconds);
      continue;
    }
    const answer = await reply.json().catch(() => ({ error: `The server answers with ${reply.status}.` }));
    return reply.ok ? answer.results[0] : { error: answer.error };
  }
}

async function ask(files) {
  const chosen = [...files];
  if (!chosen.length) return;
  if (!models.length && !(await describe())) return;
  answers = [];
  for (const [index, file] of chosen.entries()) {
    tell(`Asking for ${index + 1} of ${chosen.length} ...`);
    answers.push({ file, result: await classify(file) });
  }
  const failed = answers.filter((one) => one.result.error);
  if (chosen.length === 1) {
    tell(failed.length ? `${chosen[0].name}: ${failed[0].result.error}` : "Done.", failed.length > 0);
  } else {
    tell(`Done: ${chosen.length - failed.length} answered, ${failed.length} failed.`, failed.length > 0);
  }
  show();
}

function show() {
  at("many").hidden = answers.length < 2;
  at("rows").replaceChildren(...answers.map(({ file, result }) => {
    const row = element("tr");
    const named = inTable(result);
    row.append(element("td", file.name), element("td", result.error || labels(result)), element("td", named.map(percent).join(", ")));
    return row;
  }));
  const first = answers.length === 1 && !answers[0].result.error ? answers[0] : null;
  at("one").hidden = !first;
  if (first) showOne(first);
  showCalls(answers.length ? answers[0].file.name : "photo.jpg");
}

// The likeliest class; all that reach the threshold where an image may have several.
const inTable = (result) => (hasSeveral() ? result.top || [] : (result.top || []).slice(0, 1));

function labels(result) {
  if (result.embedding) return "embedding";
  return inTable(result).map((guess) => guess.label).join(", ") || "no class";
}

function showOne({ file, result }) {
  at("name").textContent = file.name;
  at("seen").src = result.seen_png ? `data:image/png;base64,${result.seen_png}` : URL.createObjectURL(file);
  const guesses = result.top || [];
  const bars = guesses.map((guess) => bar(guess.label, percent(guess), guess.probability));
  const rest = hasSeveral() ? 0 : 1 - guesses.reduce((sum, guess) => sum + (guess.probability || 0), 0);
  if (guesses.length && guesses[0].probability !== null && rest > 0.0005) bars.push(bar("all others", `${(100 * rest).toFixed(1)} %`, rest));
  if (result.embedding) bars.push(element("li", `An embedding of ${result.embedding.length} features.`));
  else if (!guesses.length) bars.push(element("li", "No class reaches 50 %."));
  at("bars").replaceChildren(...bars);
  showTimes(result.timing_ms);
  showMap(result.class_map);
}

function bar(label, text, share) {
  const item = element("li");
  const line = element("div");
  line.append(element("span", label), element("span", text));
  item.append(line);
  if (share !== null) {
    const made = element("progress");
    made.max = 1;
    made.value = share;
    made.setAttribute("aria-label", label);
    item.append(made);
  }
  return item;
}

function showTimes(times) {
  const parts = ["queue", "preprocess", "infer"];
  const total = parts.reduce((sum, part) => sum + times[part], 0) || 1;
  at("times").replaceChildren(...parts.map((part) => {
    const made = element("span", "", `part-${part}`);
    made.style.width = `${(100 * times[part]) / total}%`;
    return made;
  }));
  const words = `Queue ${times.queue} ms, preparation ${times.preprocess} ms, network ${times.infer} ms; ${times.batch} in the batch.`;
  at("times-text").textContent = words;
  at("times").setAttribute("aria-label", words);
}

// The map is a small grid; the canvas takes its size, and the browser smooths it over the picture.
function showMap(map) {
  at("opacity-choice").hidden = at("map").hidden = !map;
  if (!map) return;
  at("map-label").textContent = map.label;
  const [height, width] = [map.rows.length, map.rows[0].length];
  const values = map.rows.flat();
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const canvas = at("map");
  [canvas.width, canvas.height] = [width, height];
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  values.forEach((value, place) => {
    const share = high > low ? (value - low) / (high - low) : 0;
    image.data.set([255, 200 * (1 - share), 0, 255 * share], 4 * place);
  });
  context.putImageData(image, 0, 0);
  canvas.style.opacity = at("opacity").value / 100;
}

function showCalls(name) {
  if (!models.length) return;
  const url = new URL(address(""), location.href).href;
  const key = at("key").value ? " -H \"Authorization: Bearer $KEY\"" : "";
  const quoted = `'${name.replaceAll("'", "'\\''")}'`;
  at("curl").textContent = `curl --data-binary @${quoted}${key} '${url}'`;
  const ask = key ? "request = urllib.request.Request(url, photo, {\"Authorization\": f\"Bearer {key}\"})" : "request = urllib.request.Request(url, photo)";
  at("python").textContent = `import json, urllib.request\n\nurl = ${JSON.stringify(url)}\nphoto = open(${JSON.stringify(name)}, "rb").read()\n${ask}\nprint(json.load(urllib.request.urlopen(request))["results"][0]["top"])`;
}

function showCard() {
  const { name, version, preprocess_id: preprocess, classes, model: card } = model();
  const scores = Object.entries(card.metrics).map(([data, score]) => (score.top1 ? `${data}: top-1 ${(100 * score.top1.value).toFixed(2)} % [${(100 * score.top1.low).toFixed(2)}, ${(100 * score.top1.high).toFixed(2)}] on ${score.total}` : data));
  const facts = {
    Name: name,
    Network: `${card.network.variant || "a graph of others"}, ${card.precision}, ${card.form}`,
    Classes: classes || "none; it gives embeddings",
    Accuracy: scores.join("; ") || "not measured",
    "Differs from its source by": card.agreement ? `${card.agreement.relative_diff.toExponential(1)} of the largest logit at most` : "not measured",
    Version: version,
    Digest: card.digest,
    Preprocessing: `${preprocess}: ${JSON.stringify(card.preprocess)}`,
    History: card.lineage.map((step) => step.verb).join(", ") || "none",
  };
  at("card").replaceChildren(...Object.entries(facts).flatMap(([term, text]) => [element("dt", term), element("dd", text)]));
}

async function describe() {
  try {
    const reply = await fetch("v1/models", { headers: headers() });
    const answer = await reply.json();
    if (!reply.ok) {
      tell(reply.status === 401 ? "This server asks for a key; put it in above." : answer.error, true);
      return false;
    }
    models = answer.models;
  } catch {
    tell("The server cannot be reached. Is it running, and is this machine online?", true);
    return false;
  }
  at("model").replaceChildren(...models.map((one) => element("option", one.name)));
  at("model-choice").hidden = models.length < 2;
  tell("Ready.");
  showCard();
  showCalls("photo.jpg");
  return true;
}

function listen() {
  for (const id of ["files", "camera"]) {
    at(id).addEventListener("change", async (event) => {
      await ask(event.target.files);
      event.target.value = "";
    });
  }
  const drop = at("drop");
  document.addEventListener("dragover", (event) => { event.preventDefault(); drop.classList.add("over"); });
  document.addEventListener("dragleave", () => drop.classList.remove("over"));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    ask(event.dataTransfer.files);
  });
  document.addEventListener("paste", (event) => { if (event.clipboardData.files.length) ask(event.clipboardData.files); });
  at("opacity").addEventListener("input", () => { at("map").style.opacity = at("opacity").value / 100; });
  at("key").addEventListener("change", describe);
  at("model").addEventListener("change", () => { showCard(); ask(answers.map((one) => one.file)); });
  at("csv").addEventListener("click", save);
  addEventListener("offline", () => tell("This machine is offline.", true));
}

// A cell that begins as a formula does is made text, since spreadsheets would compute it.
function save() {
  const cell = (text) => `"${String(text).replace(/^[=+\-@\t\r]/, "'$&").replaceAll("\"", "\"\"")}"`;
  const rows = answers.map(({ file, result }) => {
    const named = inTable(result);
    const scores = named.map((guess) => guess.probability ?? guess.logit).join("; ");
    return [file.name, named.map((guess) => guess.label).join("; "), scores, result.error || ""].map(cell).join(",");
  });
  const link = element("a");
  link.href = URL.createObjectURL(new Blob([["file,label,probability,error", ...rows].join("\r\n")], { type: "text/csv" }));
  link.download = "labels.csv";
  link.click();
}

listen();
describe();
