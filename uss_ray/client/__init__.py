"""A client of a USS-Ray service: typed, patient, and without torch or Ray.

Examples
--------
>>> from uss_ray.client import Client
>>> with Client("http://127.0.0.1:8000", token="...") as client:  # doctest: +SKIP
...     found = client.separate("forest.wav", classes=["bird"])
...     found.save("out")
"""

from uss_ray.client.client import Client as Client
from uss_ray.client.errors import ServiceError as ServiceError
from uss_ray.client.jobs import Jobs as Jobs
from uss_ray.client.jobs import Recordings as Recordings
from uss_ray.client.results import Job as Job
from uss_ray.client.results import KeptResult as KeptResult
from uss_ray.client.results import Separation as Separation
from uss_ray.client.results import SoundClass as SoundClass
from uss_ray.client.results import Tags as Tags
