"""The floor: a Flask view that reads the body and answers."""

from flask import Flask, request

app = Flask(__name__)


@app.post("/mail/inbound")
def inbound() -> dict[str, int]:
    return {"size": len(request.get_data())}
