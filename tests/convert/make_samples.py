"""Have each framework write the sample files in `samples/`.

    python tests/convert/make_samples.py torch | keras | tensorflow | paddle | mindspore

Each in an environment that has it. The files in the repository were written by torch 2.13.0 with safetensors 0.8.0,
keras 3.15.1 with tensorflow-cpu 2.21.0 and h5py 3.14.0, paddlepaddle 3.3.1, and mindspore 2.10.0.
"""

import sys
from pathlib import Path
from zlib import crc32

import numpy as np

SAMPLES = Path(__file__).parent / "samples"

SHAPES = {
    "conv.weight": (4, 3, 3, 3),
    "bn.weight": (4,),
    "fc.weight": (2, 4),
}


def values(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """What the tensor `name` holds in every sample; float32 numbers that bfloat16 and float16 hold exactly."""
    return np.random.default_rng(crc32(name.encode())).integers(-100, 100, shape).astype(np.float32) / 64


def weights() -> dict[str, np.ndarray]:
    return {name: values(name, shape) for name, shape in SHAPES.items()}


def make_torch() -> None:
    import argparse

    import torch
    from safetensors.torch import save_file

    state = {name: torch.from_numpy(array) for name, array in weights().items()}
    state["fc.weight"] = state["fc.weight"].T.contiguous().T  # a view with strides
    state["half"] = torch.from_numpy(values("half", (3,))).half()
    state["brain"] = torch.from_numpy(values("brain", (3,))).bfloat16()
    state["bn.num_batches_tracked"] = torch.tensor(7)
    torch.save(state, SAMPLES / "torch_zip.pth")
    torch.save(state, SAMPLES / "torch_legacy.pth", _use_new_zipfile_serialization=False)
    save_file(
        {name: tensor.contiguous() for name, tensor in state.items()}, SAMPLES / "torch.safetensors", {"by": "us"}
    )
    model = torch.nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), momentum=0.9)
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    trainer = {
        "epoch": 3,
        "arch": "xception",
        "best": np.float64(0.5),
        "state_dict": torch.nn.Module.state_dict(model),
        "state_dict_ema": state,
        "optimizer": optimizer.state_dict(),
        "args": argparse.Namespace(lr=0.1, nested=argparse.Namespace(path=Path("x"))),
        "classes": {"cat", "dog"},
    }
    torch.save(trainer, SAMPLES / "torch_trainer.pth.tar")


def make_keras() -> None:
    import h5py
    import keras
    from keras import layers
    from keras.src.legacy.saving import legacy_h5_format

    image = keras.Input((8, 8, 2))
    x = layers.Conv2D(3, 3, use_bias=False, name="block1_conv1")(image)
    x = layers.BatchNormalization(name="block1_conv1_bn")(x)
    inner = keras.Sequential([keras.Input((6, 6, 3)), layers.Conv2D(3, 1), layers.BatchNormalization()], name="inner")
    x = layers.SeparableConv2D(3, 3, use_bias=False, padding="same", name="block2_sepconv1")(inner(x))
    x = layers.Conv2D(2, 1)(x)
    x = layers.BatchNormalization(scale=False)(x)
    model = keras.Model(image, layers.Dense(2, name="predictions")(layers.GlobalAveragePooling2D()(x)))
    for variable in model.weights:
        variable.assign(values(variable.path.split("/")[-1], tuple(variable.shape)))
    model.compile("sgd", "mse")
    model.save(SAMPLES / "keras_full.h5")
    model.save(SAMPLES / "keras.keras")
    model.save_weights(SAMPLES / "keras.weights.h5")
    with h5py.File(SAMPLES / "keras_weights.h5", "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, model)


def make_tensorflow() -> None:
    import tensorflow as tf

    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        variables = [v1.get_variable(name, initializer=array) for name, array in weights().items()]
        variables.append(v1.get_variable("brain", initializer=tf.cast(values("brain", (3,)), tf.bfloat16)))
        variables.append(v1.get_variable("global_step", initializer=np.int64(5)))
        variables.append(v1.get_variable("comment", initializer="not a tensor"))
        session.run([variable.initializer for variable in variables])
        v1.train.Saver(variables).save(
            session, str(SAMPLES / "tensorflow.ckpt-5"), write_meta_graph=False, write_state=False
        )


def make_paddle() -> None:
    import paddle

    state = {name: paddle.to_tensor(array) for name, array in weights().items()}
    for protocol in (2, 4):
        paddle.save(state, str(SAMPLES / f"paddle_protocol{protocol}.pdparams"), protocol=protocol)
    paddle.save({"model": state, "epoch": 3, "optimizer": state}, str(SAMPLES / "paddle_trainer.pdparams"))


def make_mindspore() -> None:
    import mindspore as ms

    state = [{"name": name, "data": ms.Tensor(array)} for name, array in weights().items()]
    state.append({"name": "half", "data": ms.Tensor(values("half", (3,)), ms.float16)})
    state.append({"name": "step", "data": ms.Tensor(5, ms.int32)})
    ms.save_checkpoint(state, str(SAMPLES / "mindspore.ckpt"), append_dict={"epoch_num": 3, "comment": "text"})
    ms.save_checkpoint(state, str(SAMPLES / "mindspore_crc.ckpt"), crc_check=True)
    ms.save_checkpoint(state, str(SAMPLES / "mindspore_encrypted.ckpt"), enc_key=b"0123456789abcdef")


if __name__ == "__main__":
    {
        "torch": make_torch,
        "keras": make_keras,
        "tensorflow": make_tensorflow,
        "paddle": make_paddle,
        "mindspore": make_mindspore,
    }[sys.argv[1]]()
