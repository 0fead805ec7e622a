"""The vendors' official clients against the simulator, unchanged but for the base address."""

import io
import os
import urllib.request

SIM = os.environ["SIM_URL"]
os.environ["REPLICATE_API_TOKEN"] = "sim-replicate"
VERSION = "531c1fadb581d760235dca418ce027bb8af642716ced08b2cd805e99a25c52e0"


def check(what, held):
    if not held:
        raise SystemExit(f"clients: FAILED: {what}")
    print(f"clients: ok: {what}")


def audio(url, magic):
    body = urllib.request.urlopen(url, timeout=30).read()
    return body[: len(magic)] == magic and len(body) > 1000


def replicate_client():
    import replicate
    from replicate.exceptions import ReplicateError

    # Its base address is without /v1.
    client = replicate.Client(api_token="sim-replicate", base_url=SIM)
    model = client.models.get("datasci888/musicgen_8songs")
    check("replicate: the model has its latest version", model.latest_version.id == VERSION)
    prediction = client.predictions.create(version=VERSION, input={"prompt": "a calm piano", "duration": 3})
    check("replicate: a prediction starts", prediction.status in ("starting", "processing"))
    prediction.wait()
    check("replicate: it succeeds", prediction.status == "succeeded")
    check("replicate: its output is a wav", audio(prediction.output, b"RIFF"))
    listed = [item.id for item in client.predictions.list().results]
    check("replicate: it is listed", prediction.id in listed)
    again = client.predictions.create(version=VERSION, input={"prompt": "slow"})
    again.cancel()
    again.reload()
    check("replicate: a prediction can be canceled", again.status in ("canceled", "succeeded"))
    output = client.run(f"datasci888/musicgen_8songs:{VERSION}", input={"prompt": "run", "output_format": "mp3"}, use_file_output=False)
    check("replicate: run gives an address", isinstance(output, str) and output.endswith(".mp3"))
    file = client.files.create(io.BytesIO(b"RIFF....WAVE"))
    check("replicate: a file is uploaded", file.urls["get"].startswith(SIM))
    try:
        client.predictions.create(version=VERSION, input={"prompt": "x", "duration": "long"})
        check("replicate: a wrong type is refused", False)
    except ReplicateError as error:
        check("replicate: a wrong type is refused in the vendor's words", error.status == 422 and "duration" in str(error.detail))
    try:
        replicate.Client(api_token="wrong", base_url=SIM).predictions.list()
        check("replicate: a wrong key is refused", False)
    except ReplicateError as error:
        check("replicate: a wrong key is refused", error.status == 401)


def inference_client():
    from inferencesh import inference

    client = inference(api_key="sim-inference", base_url=SIM)
    params = {
        "app": "infsh/tencent-song-generation",
        "input": {"lyrics": "[verse] hello. ; [chorus] world. ", "max_duration": 5},
    }
    task = client.run(params, wait=False)
    check("inference.sh: a task starts", bool(task["id"]))
    shown = client.wait_for_completion(task["id"], timeout=30)
    check("inference.sh: it completes", shown["status"] in (10, "completed"))
    check("inference.sh: its output is a flac", audio(shown["output"]["generated_audio"], b"fLaC"))
    done = client.run(params)
    check("inference.sh: run waits for the end over the stream", audio(done["output"]["generated_audio"], b"fLaC"))
    try:
        client.run({"app": "infsh/tencent-song-generation", "input": {}}, wait=False)
        check("inference.sh: missing lyrics are refused", False)
    except Exception as error:  # noqa: BLE001 - the client has a class for each code
        check("inference.sh: missing lyrics are refused", "422" in str(error) or "schema" in str(error) or "alid" in str(error))


replicate_client()
inference_client()
print("clients: all passed")
