"""Submits a song by the Python client that openapi-generator makes."""

import os

import songmill_client as songmill

configuration = songmill.Configuration(host=os.environ["SERVER"], access_token=os.environ["KEY"])
with songmill.ApiClient(configuration) as client:
    jobs, batches = songmill.JobsApi(client), songmill.BatchesApi(client)
    song = songmill.SongRequest(
        vendor=songmill.VendorChoice("replicate"), prompt="a calm piano", duration_s=4, title="by openapi-generator"
    )
    job = jobs.jobs_create(song, batch="generator", idempotency_key="generator")
    assert isinstance(job, songmill.Job) and isinstance(job.state, songmill.StateName), job
    assert jobs.jobs_create(song, batch="generator", idempotency_key="generator").id == job.id

    assert jobs.jobs_get(job.id).request.title == song.title
    assert [one.id for one in jobs.jobs_list(batch="generator").data] == [job.id]
    assert job.id in batches.batches_results("generator")

    nobody = songmill.SongRequest(vendor=songmill.VendorChoice("nobody"), prompt="a calm piano")
    try:
        jobs.jobs_create(nobody)
        raise AssertionError("a song for nobody was submitted")
    except songmill.exceptions.UnprocessableEntityException as refused:
        assert isinstance(refused.data, songmill.Problem) and refused.data.errors[0].pointer == "/vendor", refused
print(f"generators: openapi-generator (python) submitted {job.id}")
