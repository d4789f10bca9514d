"""Answers in JSON of the small HTTP servers of tests."""

import json
from http.server import BaseHTTPRequestHandler


def send_json(request: BaseHTTPRequestHandler, status: int, content) -> None:
    """Answer a request with a status and JSON."""
    body = json.dumps(content).encode()
    request.send_response(status)
    request.send_header("Content-Type", "application/json")
    request.send_header("Content-Length", str(len(body)))
    request.end_headers()
    request.wfile.write(body)
