# The challenge's container. Build it with the weights beside this file, run it with two folders mounted:
#   docker build --build-arg WEIGHTS=weights.ckpt -t fve .
#   docker run --gpus all --rm -v "$PWD/inputs:/workspace/inputs" -v "$PWD/outputs:/workspace/outputs" fve
FROM python:3.11-slim AS wheel
COPY pyproject.toml README.md LICENSE /source/
COPY fve_pipeline /source/fve_pipeline
COPY kernels /source/kernels
COPY catalogs /source/catalogs
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /dist /source

FROM python:3.11-slim
ENV PYTHONUNBUFFERED=1 \
    NUMBA_CACHE_DIR=/var/cache/numba
WORKDIR /workspace

COPY constraints.txt ./
COPY --from=wheel /dist /dist
RUN pip install --no-cache-dir -c constraints.txt "$(ls /dist/*.whl)[train]"

ARG WEIGHTS=weights.ckpt
COPY ${WEIGHTS} weights.ckpt
COPY predict.sh ./

CMD ["sh", "predict.sh"]
