# xception in a container: docker build -t xception . && docker run --rm -v "$PWD:/work" xception predict MODEL photo.jpg
# It runs on a CPU, and on a GPU with `docker run --gpus all`. For a smaller image without CUDA, name an index that has
# torch for CPUs: --build-arg PIP_OPTIONS="--extra-index-url URL"
FROM python:3.12-slim AS build
ARG EXTRAS=torch,onnx,openvino,hub,data,report,heic,fast
ARG PIP_OPTIONS=""
COPY pyproject.toml constraints.txt README.md LICENSE /src/
COPY src /src/src
RUN python -m venv /opt/xception \
    && /opt/xception/bin/pip install --no-cache-dir --constraint /src/constraints.txt ${PIP_OPTIONS} "/src[${EXTRAS}]"

FROM python:3.12-slim
COPY --from=build /opt/xception /opt/xception
ENV PATH=/opt/xception/bin:$PATH XDG_CACHE_HOME=/cache
RUN useradd --create-home --uid 1000 user && mkdir /work /cache && chown user /work /cache
USER user
WORKDIR /work
VOLUME ["/work", "/cache"]
ENTRYPOINT ["xception"]
CMD ["--help"]
