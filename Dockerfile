# The challenge's container. Build it with the weights beside this file, run it with two folders mounted:
#   docker build --build-arg WEIGHTS=weights.ckpt -t fve .
#   docker run --gpus all --rm -v "$PWD/inputs:/workspace/inputs" -v "$PWD/outputs:/workspace/outputs" fve
FROM python:3.11-slim

ENV PYTHONUNBUFFERED=1 \
    NUMBA_CACHE_DIR=/tmp/numba
WORKDIR /workspace

COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY fve_pipeline fve_pipeline
COPY kernels kernels
COPY catalogs catalogs
RUN pip install --no-cache-dir -c constraints.txt ".[train]"

ARG WEIGHTS=weights.ckpt
COPY ${WEIGHTS} weights.ckpt
COPY predict.sh ./

CMD ["sh", "predict.sh"]
