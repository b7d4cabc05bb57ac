# xception in a container: docker build -t xception . && docker run --rm -v "$PWD:/work" xception predict MODEL photo.jpg
# It runs on a CPU, and on a GPU with `docker run --gpus all`. PIP_OPTIONS may name an index that has torch for CPUs only,
# which makes the image smaller.
#
# A model as a service: docker build --target serve --build-arg EXTRAS=serve,onnx,openvino,fast -t xception-serve .
# docker run --read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges -p 8000:8000 \
#   -v "$PWD/bundle:/model:ro" -v "$PWD/keys.txt:/keys.txt:ro" xception-serve
# The keys have to belong to the user 1000, and nobody else may read them.
FROM python:3.12-slim AS build
ARG EXTRAS=torch,onnx,openvino,hub,data,report,heic,fast
ARG PIP_OPTIONS=""
COPY pyproject.toml constraints.txt README.md LICENSE /source/
COPY src /source/src
RUN python -m venv /xception \
    && /xception/bin/pip install --no-cache-dir --constraint /source/constraints.txt ${PIP_OPTIONS} "/source[${EXTRAS}]"

FROM python:3.12-slim AS installed
COPY --from=build /xception /xception
ENV PATH=/xception/bin:$PATH PYTHONDONTWRITEBYTECODE=1
RUN useradd --create-home --uid 1000 user && mkdir /work /cache && chown user /work /cache
USER user

FROM installed AS serve
ENV XDG_CACHE_HOME=/tmp XCEPTION_OFFLINE=1
EXPOSE 8000
HEALTHCHECK CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/v2/health/ready')"]
ENTRYPOINT ["xception", "serve"]
CMD ["model=/model", "--address", "0.0.0.0", "--api-keys", "/keys.txt"]

FROM installed
ENV XDG_CACHE_HOME=/cache
WORKDIR /work
VOLUME ["/work", "/cache"]
ENTRYPOINT ["xception"]
CMD ["--help"]
