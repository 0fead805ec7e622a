"""Submits a song by the client that openapi-python-client makes."""

import os

from songmill_client import AuthenticatedClient
from songmill_client.api.batches import batches_results
from songmill_client.api.jobs import jobs_create, jobs_get, jobs_list
from songmill_client.models import JobDetail, JobList, Job, Problem, SongRequest, StateName

client = AuthenticatedClient(base_url=os.environ["SERVER"], token=os.environ["KEY"])
song = SongRequest(vendor="replicate", prompt="a calm piano", duration_s=4, title="by openapi-python-client")

job = jobs_create.sync(client=client, body=song, batch="python", idempotency_key="python")
assert isinstance(job, Job) and isinstance(job.state, StateName), job
again = jobs_create.sync(client=client, body=song, batch="python", idempotency_key="python")
assert again.id == job.id, (job, again)

shown = jobs_get.sync(job.id, client=client)
assert isinstance(shown, JobDetail) and shown.request.title == song.title, shown
listed = jobs_list.sync(client=client, batch="python")
assert isinstance(listed, JobList) and [one.id for one in listed.data] == [job.id], listed
lines = batches_results.sync("python", client=client)
assert isinstance(lines, str) and job.id in lines, lines

refused = jobs_create.sync(client=client, body=SongRequest(vendor="nobody", prompt="a calm piano"))
assert isinstance(refused, Problem) and refused.code == "invalid" and refused.errors[0].pointer == "/vendor", refused
print(f"generators: openapi-python-client submitted {job.id}")
