"""The README of a pack: its content, what was run, and the exact commands for what is left to run."""

from collections.abc import Mapping

from xception.bundle import Agreement
from xception.export.packs.pack import OPSET, Expected, PreprocessCost, Sample, file_name
from xception.export.request import ExportRequest
from xception.intervals import Interval

COMMON = """# {title}

`{variant}`, {classes} classes, bundle `{digest}`.

## Check it first

```
python3 verify.py
```

needs Python 3.7 and NumPy. `pack.json` holds the hash of every file.

## Tested configurations

{agreement}
- Run: {run}
- Not run: {not_run}
  Nothing here says what these tools make of the graph; what the chip returns can be checked with `verify.py`.

## Expected of the source

{expected}

## Inputs

{inputs}

"""

RUN = f"""the graphs were written with the operators of ONNX opset {OPSET}, checked, run by ONNX Runtime, and
  compared with the weights; the golden logits were computed from the weights."""

RUN_INT8 = """the graphs are those of the int8 bundle without the grids that AMCT does not adapt; they were checked, run
  by ONNX Runtime on the inputs, and compared with the int8 bundle, of which the golden logits are. They differ from it
  since values that are not in front of a layer are not rounded."""


def ascend_readme(request: ExportRequest, sample: Sample, expected: Expected, said: Mapping[str, object]) -> str:
    """The README of a pack for Ascend."""
    name, (height, width) = file_name(request), request.bundle.model.preprocess.output_px or (0, 0)
    text = _common(
        request,
        sample,
        expected,
        said,
        "Ascend",
        "`atc`, AMCT, `benchmark` and `ais_bench`, so that no OM file is here.",
    )
    return (
        text
        + _ascend_int8(request, said)
        + f"""
## Compile

```
source /usr/local/Ascend/ascend-toolkit/set_env.sh
SOC=Ascend310P3 sh compile.sh          # float tensors from inputs/
SOC=Ascend310P3 AIPP=1 sh compile.sh   # 8-bit {_images(request)} (H, W, C) from inputs_uint8/, normalised on the chip
{_int8_command(said)}```

Normalisation on the chip is in half precision, to which it rounds the constants in `aipp.cfg`.{_order(request)}

## Run and check

```
mkdir -p results
inputs=inputs   # or inputs_uint8, where AIPP=1 compiled the graphs
for graph in {" ".join(_checked(said))}; do
    python3 -m ais_bench --model om/{name}_$graph.om --input $inputs --output results --output_dirname $graph \\
        --outfmt BIN --batchsize 1
    python3 verify.py results/$graph
done
```

The same with `benchmark`, which replaces its results each time:

```
for graph in {" ".join(_checked(said))}; do
    benchmark -model_type=vision -device_id=0 -batch_size=1 -om_path=om/{name}_$graph.om \\
        -input_text_path=$inputs.info -input_width={width} -input_height={height} -output_binary=True -useDvpp=False
    python3 verify.py result/dumpOutput_device0
done
```

## Speed of every graph

```
for graph in {" ".join(_compiled(said))}; do
    batch=${{graph#bs}}
    batch=${{batch%_int8}}
    python3 -m ais_bench --model om/{name}_$graph.om --batchsize $batch --loop 100
    benchmark -model_type=vision -device_id=0 -batch_size=$batch -om_path=om/{name}_$graph.om \\
        -input_text_path=$inputs.info -input_width={width} -input_height={height} -output_binary=True -useDvpp=False
done
```
"""
    )


def vastai_readme(request: ExportRequest, sample: Sample, expected: Expected, said: Mapping[str, object]) -> str:
    """The README of a pack for VastAI."""
    name, (height, width) = file_name(request), request.bundle.model.preprocess.output_px or (0, 0)
    text = _common(request, sample, expected, said, "VastAI", "`vamc` and `vamp`, so that no compiled model is here.")
    kinds = ["fp16", "int8"] if said["calibration_images"] else ["fp16"]
    compiled = "".join(f"vamc compile build_{kind}.yaml\n" for kind in kinds)
    return (
        text
        + _preprocessing(said)
        + _calibration(said, "images in `calibration/`, for the int8 file")
        + f"""
## Compile

```
{compiled}```

`model_info_*.json` names the three files of a compiled model; `hw_config_file` is your machine's.

## Run and check

```
sed "s|^|$PWD/|" datalist.txt > ../datalist_here.txt
for kind in {" ".join(kinds)}; do
    vamp -m deploy_weights/{name}_$kind/mod --vdsp_params vdsp_params.json -i 1 -p 1 -b 1 -s [3,{height},{width}] \\
        --datalist ../datalist_here.txt --path_output ../output_$kind
    python3 verify.py ../output_$kind
done
```

## Speed

```
for kind in {" ".join(kinds)}; do
    vamp -m deploy_weights/{name}_$kind/mod --vdsp_params vdsp_params.json -i 1 -p 1 -b 1 -s [3,{height},{width}]
done
```
"""
    )


def _ascend_int8(request: ExportRequest, said: Mapping[str, object]) -> str:
    if request.bundle.model.precision == "int8":
        return (
            "\n## int8\n\nThe graphs are int8 already: `amct_onnx convert` in `compile.sh` makes"
            "\ninteger layers of them, with their own ranges.\n"
            "Dense layers with a scale for each channel stay in float, as it demands.\n"
        )
    return _calibration(said, "normalised tensors in `calibration/*.bin`, for AMCT")


def _int8_command(said: Mapping[str, object]) -> str:
    """The command that has AMCT quantize the float graph, where there are images to calibrate on."""
    command = "SOC=Ascend310P3 INT8=1 sh compile.sh   # and om/*_bs1_int8.om, which AMCT calibrates on calibration/\n"
    return command if said["calibration_images"] else ""


def _images(request: ExportRequest) -> str:
    return "gray images" if request.bundle.model.preprocess.channels == 1 else "RGB images"


def _order(request: ExportRequest) -> str:
    if request.bundle.model.preprocess.channels == 1:
        return ""
    return " Images that were decoded\nas BGR, as OpenCV does, need the other value of `rbuv_swap_switch`."


def _checked(said: Mapping[str, object]) -> list[str]:
    """Ends of the names of the compiled models of one image, whose results `verify.py` reads."""
    return ["bs1", "bs1_int8"] if said["calibration_images"] else ["bs1"]


def _compiled(said: Mapping[str, object]) -> list[str]:
    """Ends of the names of all compiled models."""
    graphs = said["agreement"]
    names = [str(name) for name in graphs] if isinstance(graphs, Mapping) else []
    return [name.rpartition("_")[2].removesuffix(".onnx") for name in names] + _checked(said)[1:]


def _common(
    request: ExportRequest, sample: Sample, expected: Expected, said: Mapping[str, object], vendor: str, not_run: str
) -> str:
    model = request.bundle.model
    unreadable = f" {len(sample.unreadable)} more could not be read: {', '.join(sample.unreadable)}."
    known = sum(target is not None for target in sample.targets)
    return COMMON.format(
        title=f"{model.name} for {vendor}",
        variant=model.network.variant,
        classes=model.network.num_classes,
        digest=model.digest[:16],
        agreement=_agreements(said),
        run=RUN_INT8 if model.precision == "int8" else RUN,
        not_run=not_run,
        expected=_expected(expected),
        inputs=f"{len(sample.names)} images"
        + (f" of {request.data.name}" if request.data else " of noise, since no data were named")
        + f", {known} with a true class."
        + unreadable * bool(sample.unreadable),
    )


def _agreements(said: Mapping[str, object]) -> str:
    rows = said["agreement"]
    pairs = rows.items() if isinstance(rows, Mapping) else ()
    return "\n".join(
        f"- `{name}`: largest logit difference {found.max_abs_diff:.1e} ({found.relative_diff:.1e} relative), "
        f"top-1 {found.top1_agreement:.2%} on {found.samples} samples"
        for name, found in pairs
        if isinstance(found, Agreement)
    )


def _expected(scores: Expected) -> str:
    rows = [
        f"- {data}: top-1 {_percent(score.top1)}, top-5 {_percent(score.top5)}; "
        f"{score.total} images = {score.seen} seen + {score.failed} failed"
        for data, score in scores.items()
    ]
    return "\n".join(rows) or "No accuracy is known: the bundle holds none, and no data were named."


def _percent(interval: Interval | None) -> str:
    return f"{interval.value:.2%} [{interval.low:.2%}, {interval.high:.2%}]" if interval else "unknown"


def _calibration(said: Mapping[str, object], what: str) -> str:
    count = said["calibration_images"]
    words = (
        f"{count} {what}, as evenly over the classes as the data allow."
        if count
        else "None, since no data were named; an int8 file needs some, so there is none below."
    )
    return f"\n## Calibration\n\n{words}\n"


def _preprocessing(said: Mapping[str, object]) -> str:
    departures, cost = said["departures"], said["cost"]
    if not isinstance(departures, list) or not departures:
        return "## Preprocessing\n\nThe chip's preprocessing is the model's own.\n"
    text = "## Preprocessing\n\n**The chip cannot prepare images as the model expects them:**\n\n"
    text += "".join(f"- {words}\n" for words in departures)
    if not isinstance(cost, PreprocessCost):
        return text + "\nWhat this costs was not measured, since no data were named.\n"
    return text + (
        f"\nMeasured on {cost.images} images of {cost.data} with the source's weights: top-1 {_percent(cost.own_top1)} "
        f"with the model's own preprocessing, {_percent(cost.chip_top1)} with the chip's. On the "
        f"{cost.logits.samples} inputs here logits differ by {cost.logits.relative_diff:.1%} of the largest, and "
        f"{cost.logits.top1_agreement:.2%} have the same top-1 class.\n"
        "`goldens/logits.npy` are of the chip's preprocessing, `goldens/logits_own_preprocess.npy` of the model's.\n"
    )
