"""What is wrong with this Triton? Prints one model and one fault, or that there is none.

Asks the server, and reads what it logged: the index has the reason of a model that did not load,
the log that of a model that was not even tried, and only a request shows a dead process.
"""

import json
import os
import re
import urllib.error
import urllib.request

URL = os.environ["TRITON_URL"]
#: What the index or the log says, and what it means.
REASONS = (
    (r"at least one version must be available", "version"),
    (r"unable to find", "file"),
    (r"failed to load model .*PytorchStreamReader|archive", "corrupt"),
    (r"unexpected shape", "dims"),
    (r"data-type is", "datatype"),
    (r"failed to read text proto|Error parsing", "config"),
)
SIZES = {"BOOL": 1, "INT8": 1, "UINT8": 1, "INT16": 2, "UINT16": 2, "FP16": 2, "BF16": 2,
         "INT32": 4, "UINT32": 4, "FP32": 4, "INT64": 8, "UINT64": 8, "FP64": 8, "BYTES": 4}  # fmt: skip


def ask(method, path, body=None, headers=None, timeout=5):
    """Status and JSON of an answer; status 0 when there is none in time."""
    request = urllib.request.Request(URL + path, body, headers or {}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()
    except OSError as error:
        return 0, str(error).encode()


def refused():
    """Models that were not loaded, with the reason, out of the index and the log."""
    index = json.loads(ask("POST", "/v2/repository/index")[1])
    for entry in index:
        if entry.get("reason", "unloaded") != "unloaded":
            yield entry["name"], entry["reason"]
    ready = {entry["name"] for entry in index if entry.get("state") == "READY"}
    with open(os.environ["TRITON_LOG"], errors="replace") as log:
        for line in log:
            found = re.search(
                r"(?:Poll failed for model directory|failed to load model) '([^']+)'", line
            )
            if found and found[1] not in ready:
                yield found[1], line


def dead():
    """Models that are ready, and whose process does not answer."""
    for entry in json.loads(ask("POST", "/v2/repository/index", b'{"ready": true}')[1]):
        path = f"/v2/models/{entry['name']}"
        inputs, data = [], b""
        for tensor in json.loads(ask("GET", path)[1])["inputs"]:
            shape = [max(size, 1) for size in tensor["shape"]]
            zeros = SIZES[tensor["datatype"]]
            for size in shape:
                zeros *= size
            inputs.append({"name": tensor["name"], "datatype": tensor["datatype"], "shape": shape,
                           "parameters": {"binary_data_size": zeros}})  # fmt: skip
            data += bytes(zeros)
        head = json.dumps({"inputs": inputs}).encode()
        length = {"Inference-Header-Content-Length": str(len(head))}
        status, told = ask("POST", f"{path}/infer", head + data, length)
        if status == 0 or b"is not healthy" in told:
            yield entry["name"]


def main():
    for model, reason in refused():
        for pattern, kind in REASONS:
            if re.search(pattern, reason):
                print(f"model: {model}\nfault: {kind}\n{reason.strip()}")
                return
    for model in dead():
        print(f"model: {model}\nfault: stub\nit is ready, and nobody answers")
        return
    print("fault: none")


main()
