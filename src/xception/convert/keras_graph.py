"""The graph that a Keras model's configuration states: its layers, without the networks and rows that hold them.

Keras saves a model as nested descriptions: networks of layers with the layers that each one reads, and rows of layers.
Nothing of them is run; a description that does not say what is computed is refused.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from xception.convert.readers.limits import MAX_DEPTH
from xception.errors import InputError

MAX_LAYERS = 2000
"""Layers of a model; ten times those of the largest network of this family with all that is put around it."""

NETWORKS = ("Functional", "Model")
ROW = "Sequential"

INPUT_LAYER = "InputLayer"

Operand = str | float | list[Any]
"""Id of a layer, or a constant."""


@dataclass(frozen=True, kw_only=True)
class StatedLayer:
    """One layer that is no network itself.

    Attributes:
        path: names of the networks around it, from the outermost on, and its own.
        kind: name of its class.
        config: its settings.
        operands: what it is called with: ids of layers, and constants.
        keywords: constants that it is called with by name.
    """

    path: tuple[str, ...]
    kind: str
    config: Mapping[str, Any]
    operands: tuple[Operand, ...] = ()
    keywords: Mapping[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return "/".join(self.path)

    @property
    def sources(self) -> tuple[str, ...]:
        """Ids of the layers that it reads."""
        return tuple(operand for operand in self.operands if isinstance(operand, str))

    def __str__(self) -> str:
        return f"{self.kind} {self.path[-1]!r}"


@dataclass(frozen=True, kw_only=True)
class StatedGraph:
    """All layers by id, each after those that it reads, and those whose results are the model's, by id.

    Attributes:
        layers: the layers by id.
        outputs: ids of the layers whose results are the model's.
        has_calls: the description says which layer reads which; otherwise layers are only listed, perhaps not all of
            them, and each is taken to read the one before it.
    """

    layers: Mapping[str, StatedLayer]
    outputs: tuple[str, ...]
    has_calls: bool = True

    def readers(self, id_: str) -> list[StatedLayer]:
        """The layers that read a layer."""
        return [layer for layer in self.layers.values() if id_ in layer.sources]

    def needed_for(self, output: str) -> "StatedGraph":
        """The part that an output depends on."""
        needed = {output}
        for layer in reversed(list(self.layers.values())):
            if layer.id in needed:
                needed.update(layer.sources)
        layers = {id_: layer for id_, layer in self.layers.items() if id_ in needed}
        return StatedGraph(layers=layers, outputs=(output,), has_calls=self.has_calls)


def stated_graph(model_config: object) -> StatedGraph | None:
    """The graph of a model's configuration; None if it states no layers, as that of a class of somebody's own.

    Raises:
        InputError: it does not say clearly what is computed.
    """
    if not isinstance(model_config, Mapping) or _layers(model_config) is None:
        return None
    reading = _Reading()
    outputs = reading.model(model_config, (), None)
    return StatedGraph(layers=reading.found, outputs=outputs, has_calls=reading.has_calls)


def _layers(stated: Mapping[str, Any]) -> list[Any] | None:
    """The layers of a network or row; None for a single layer."""
    config = stated.get("config")
    layers = config if isinstance(config, list) else config.get("layers") if isinstance(config, Mapping) else None
    is_model = stated.get("class_name") in (*NETWORKS, ROW)
    return layers if is_model and isinstance(layers, list) else None


class _Reading:
    def __init__(self) -> None:
        self.found: dict[str, StatedLayer] = {}
        self.has_calls = True

    def model(self, stated: Mapping[str, Any], path: tuple[str, ...], fed: list[Operand] | None) -> tuple[str, ...]:
        """Take in the layers of a network or row. Returns the ids of the layers whose results are its results.

        Args:
            stated: its description.
            path: names of the networks around it and its own; empty for the whole model.
            fed: ids of the layers that it reads; None for the whole model, which has inputs of its own.
        """
        layers = _layers(stated) or []
        if len(path) > MAX_DEPTH or len(self.found) + len(layers) > MAX_LAYERS:
            raise InputError(
                f"its model_config nests networks deeper than {MAX_DEPTH} or has more than {MAX_LAYERS} layers"
            )
        if not all(isinstance(layer, Mapping) and isinstance(layer.get("config"), Mapping | list) for layer in layers):
            raise InputError("its model_config holds layers without a description; save the model again")
        is_listing = stated["class_name"] != ROW and _is_listing(stated["config"], layers)
        self.has_calls &= not is_listing
        if stated["class_name"] == ROW or is_listing:
            return self._row(layers, path, fed)
        return self._network(stated["config"], layers, path, fed)

    def _row(self, layers: list[Any], path: tuple[str, ...], fed: list[Operand] | None) -> tuple[str, ...]:
        last = fed
        for index, layer in enumerate(layers):
            if layer["class_name"] == INPUT_LAYER and (fed is not None or index):
                continue
            if last is None and layer["class_name"] != INPUT_LAYER:
                last = [self._add(StatedLayer(path=(*path, "input"), kind=INPUT_LAYER, config=_first_config(layer)))]
            last = [self._layer(layer, path, last or [], {})]
        if not last or not isinstance(last[0], str):
            raise InputError("its model_config holds an empty row of layers; save the model again")
        return (last[0],)

    def _network(
        self, config: Mapping[str, Any], layers: list[Any], path: tuple[str, ...], fed: list[Operand] | None
    ) -> tuple[str, ...]:
        results: dict[str, str] = {}
        entries = _ends(config.get("input_layers"))
        if fed is not None:
            if len(fed) != len(entries) or not all(isinstance(operand, str) for operand in fed):
                raise InputError(f"its network {'/'.join(path)!r} is called with other inputs than it has")
            results |= {name: operand for name, operand in zip(entries, fed, strict=True) if isinstance(operand, str)}
        waiting = [layer for layer in layers if _name(layer) not in results]
        while waiting:
            ready = [layer for layer in waiting if _read_names(layer) <= results.keys()]
            if not ready:
                names = ", ".join(map(_name, waiting[:3]))
                raise InputError(f"its model_config has layers that read what is not there, such as {names}")
            for layer in ready:
                operands, keywords = _call(layer)
                operands = [results[value.name] if isinstance(value, _Result) else value for value in operands]
                results[_name(layer)] = self._layer(layer, path, operands, keywords)
            waiting = [layer for layer in waiting if _name(layer) not in results]
        exits = _ends(config.get("output_layers"))
        if not exits or not set(exits) <= results.keys():
            raise InputError(f"its network {'/'.join(path) or 'itself'!r} names no layer of its own as its output")
        return tuple(results[name] for name in dict.fromkeys(exits))

    def _layer(
        self, layer: Mapping[str, Any], path: tuple[str, ...], operands: list[Operand], keywords: Mapping[str, Any]
    ) -> str:
        own = (*path, _name(layer))
        if _layers(layer) is not None:
            outputs = self.model(layer, own, operands)
            if len(outputs) > 1:
                raise InputError(f"its network {'/'.join(own)!r} inside has {len(outputs)} outputs; expected one")
            return outputs[0]
        stated = StatedLayer(
            path=own, kind=layer["class_name"], config=layer["config"], operands=tuple(operands), keywords=keywords
        )
        return self._add(stated)

    def _add(self, layer: StatedLayer) -> str:
        if layer.id in self.found:
            raise InputError(f"its model_config has two layers called {layer.id!r}; save the model again")
        if not isinstance(layer.config, Mapping) or not isinstance(layer.kind, str):
            raise InputError("its model_config holds layers without a description; save the model again")
        self.found[layer.id] = layer
        return layer.id


@dataclass(frozen=True)
class _Result:
    """The result of the layer of that name in the same network."""

    name: str


def _is_listing(config: Mapping[str, Any], layers: list[Any]) -> bool:
    """True if a network's layers are named without a word on how they are connected, as abridged descriptions are."""
    ends = _ends(config.get("input_layers")) or _ends(config.get("output_layers"))
    return bool(layers) and not ends and not any("inbound_nodes" in layer for layer in layers)


def _first_config(layer: Mapping[str, Any]) -> Mapping[str, Any]:
    """The settings of the input that a row's first layer describes along with its own."""
    inner = _layers(layer)
    config = inner[0].get("config", {}) if inner and isinstance(inner[0], Mapping) else layer["config"]
    return {name: config[name] for name in ("batch_shape", "batch_input_shape") if name in config}


def _name(layer: Mapping[str, Any]) -> str:
    config = layer["config"]
    return str(layer.get("name") or (config.get("name") if isinstance(config, Mapping) else None) or "layer")


def _ends(stated: object) -> list[str]:
    """Names of a network's input or output layers: [name, 0, 0], or a list or dictionary of such."""
    if isinstance(stated, Mapping):
        stated = list(stated.values())
    if not isinstance(stated, list):
        return []
    if stated and isinstance(stated[0], str):
        return [stated[0]]
    return [entry[0] for entry in stated if isinstance(entry, list) and entry and isinstance(entry[0], str)]


def _read_names(layer: Mapping[str, Any]) -> set[str]:
    return {value.name for value in _call(layer)[0] if isinstance(value, _Result)}


def _call(layer: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """Arguments of a layer's call: results and constants in their order, and constants by name."""
    calls = layer.get("inbound_nodes") or []
    if layer["class_name"] == INPUT_LAYER:
        return [], {}
    if not isinstance(calls, list) or len(calls) != 1:
        count = len(calls) if isinstance(calls, list) else 0
        raise InputError(f"its layer {_name(layer)!r} is called {count} times; expected once")
    (call,) = calls
    if isinstance(call, Mapping):
        # Keras 3 sets `training` anew with every call of the model, whatever is stated.
        keywords = {name: value for name, value in (call.get("kwargs") or {}).items() if name != "training"}
        return list(_operands(call.get("args"))), {name: value for name, value in keywords.items() if value is not None}
    return _keras2_call(call)


def _operands(stated: Any) -> Iterator[Any]:
    """Results and constants in the arguments of Keras 3, whose lists of tensors count one by one."""
    if isinstance(stated, Mapping):
        history = stated.get("config", {}).get("keras_history") if isinstance(stated.get("config"), Mapping) else None
        if not isinstance(history, list) or not history or not isinstance(history[0], str):
            raise InputError("its model_config calls a layer with something else than layers and numbers")
        yield _Result(history[0])
    elif isinstance(stated, list) and any(isinstance(value, Mapping | list) for value in stated):
        for value in stated:
            yield from _operands(value)
    elif isinstance(stated, list):
        yield from stated
    else:
        yield stated


def _keras2_call(call: Any) -> tuple[list[Any], dict[str, Any]]:
    """A call as Keras 2 states it: [name, 0, 0, keywords], or a list of such; "_CONSTANT_VALUE" stands for a number."""
    entries = [call] if isinstance(call, list) and call and isinstance(call[0], str) else call
    operands: list[Any] = []
    keywords: dict[str, Any] = {}
    for entry in entries if isinstance(entries, list) else []:
        match entry:
            case ["_CONSTANT_VALUE", _, value, *_]:
                operands.append(value)
            case [str(name), int(), int(), *rest]:
                operands.append(_Result(name))
                stated = rest[0] if rest and isinstance(rest[0], Mapping) else {}
                keywords |= {key: value for key, value in stated.items() if value is not None and key != "name"}
            case _:
                raise InputError("its model_config calls a layer in a way that no version of Keras writes")
    return operands, keywords
