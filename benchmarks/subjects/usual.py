"""The usual way to make a message durable: a file for each, synced, renamed, directory synced."""

import os
import uuid
from pathlib import Path

from flask import Flask, request

app = Flask(__name__)
directory = Path(os.environ["BENCHMARK_DIRECTORY"])


@app.post("/mail/inbound")
def inbound() -> dict[str, str]:
    name = uuid.uuid4().hex
    temporary = directory / f"{name}.new"
    with temporary.open("wb") as file:
        file.write(request.get_data())
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(directory / f"{name}.eml")
    descriptor = os.open(directory, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)
    return {"name": name}
