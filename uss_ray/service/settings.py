"""What a service is: its weights, who may ask it, where it listens, and every limit of what may be asked."""

from __future__ import annotations

import ipaddress
import os
import re
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from uss_ray.api.request import SoundRequest
from uss_ray.config import Count, Device, Location, Name, Settings
from uss_ray.errors import ConfigError, OutputError
from uss_ray.ontology.source import ClassListFile, OntologyFile
from uss_ray.separation.settings import EngineNetworks, NetworkSettings
from uss_ray.store.options import Storage
from uss_ray.store.store import Store, StoreOptions
from uss_ray.weights import STARTER, WeightsName

_ORIGIN = re.compile(r"https?://([a-z0-9.-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?")


def _checked_origin(origin: str) -> str:
    if _ORIGIN.fullmatch(origin) is None:
        expected = "https://host or https://host:port, in small letters"
        raise ConfigError("webhooks origins", expected=expected, found=origin)
    return origin


class Limits(Settings):
    """How much may be asked of a service; `/v1/info` shows all of them."""

    body_bytes: Count = Field(default=200_000_000, description="Bytes of a request.")
    json_bytes: Count = Field(default=1_000_000, description="Bytes of JSON in a request.")
    decoded_seconds: Count = Field(default=600, description="Seconds of sound, counted while it is decoded.")
    decoded_bytes: Count = Field(
        default=512_000_000, description="Bytes of sound as float32, counted while it is decoded."
    )
    channels: Count = Field(default=8, description="Channels of a recording.")
    lowest_rate: Count = Field(default=256, description="Lowest rate of a recording in Hz.")
    highest_rate: Count = Field(default=192_000, description="Highest rate of a recording in Hz.")
    classes: Count = Field(default=64, description="Classes that are named in a request, left-out ones too.")
    texts: Count = Field(default=5, description="Texts in a request.")
    name_letters: Count = Field(default=1000, description="Letters of a class or a text in a request.")
    examples: Count = Field(default=8, description="Example recordings in a request.")
    example_seconds: Count = Field(default=30, description="Seconds of an example.")
    answer_bytes: Count = Field(default=1_000_000_000, description="Bytes of stems in an answer.")
    deadline_seconds: float = Field(
        default=120.0, gt=0.0, description="Seconds from the first byte of a request until its answer begins."
    )
    queue_seconds: float = Field(
        default=60.0, gt=0.0, description="Seconds of work that may wait; beyond, a request is put off."
    )
    kept_seconds: Count = Field(default=3600, description="Longest time in seconds that a result is kept.")
    upload_seconds: Count = Field(
        default=24 * 3600,
        description="Seconds that an upload is kept, and as long as a job of its tenant needs it.",
    )
    uploads_bytes: Count = Field(
        default=20_000_000_000,
        description="Bytes of all uploads of a tenant at a time, with what may come by addresses that it was given.",
    )
    presigned_at_once: Count = Field(
        default=1000,
        description="Addresses for uploads that a tenant may have at a time, until they are over.",
    )
    presigned_bytes: Count = Field(
        default=5_000_000_000, description="Bytes of an upload that goes to the store itself."
    )
    at_once: Count = Field(default=8, description="Requests of one token at a time.")
    jobs: Count = Field(default=100, description="Jobs of a tenant that are not over.")
    job_kept_seconds: Count = Field(
        default=30 * 24 * 3600,
        description="Seconds that a job, and what of it lies with the service, is kept.",
    )
    decoder_memory_bytes: Count = Field(
        default=2_000_000_000, description="Memory that a decoder's process may take for a recording."
    )
    decoder_seconds: Count = Field(
        default=60, description="Seconds that decoding a recording may take, of a core and of the clock."
    )


class JobSettings(Settings):
    """How a service runs its jobs."""

    at_once: Count = Field(default=1, description="Jobs that run at a time; others wait, tenants in turn.")
    actors: int | None = Field(
        default=None, ge=1, description="Workers of a job; without a number as many as there is room for."
    )
    attempts: Count = Field(
        default=5, description="Drivers of a job that may end one after the other without any progress."
    )
    silent_seconds: float = Field(
        default=60.0,
        gt=0.0,
        description="Seconds without a sign after which a driver that nobody knows is dead.",
    )
    look_seconds: float = Field(
        default=5.0, gt=0.0, description="Seconds between two looks at the table of jobs."
    )


class WebhookSettings(Settings):
    """Whom a service tells of the end of a job."""

    origins: tuple[Annotated[str, AfterValidator(_checked_origin)], ...] = Field(
        default=(),
        description="Where webhooks may go, such as https://hooks.example.org; without one there are none.",
    )
    private: bool = Field(
        default=False,
        description="Whether they may go to this machine and to private networks; never to link-local addresses.",
    )
    attempts: Count = Field(default=6, description="How often one is sent until it is answered with a 2xx.")
    first_wait_seconds: float = Field(
        default=15.0,
        gt=0.0,
        description="Seconds between the first two attempts, then four times as long each.",
    )
    answer_seconds: float = Field(
        default=10.0,
        gt=0.0,
        description="Seconds in which one must be answered, looking up of the name included.",
    )

    def wait_seconds(self, sent: int) -> float:
        """Tell how long to wait after the so-manieth time that one was sent."""
        return float(self.first_wait_seconds * 4 ** (sent - 1))


class ServiceSettings(Settings):
    """A service and its limits.

    Raises
    ------
    ConfigError
        If there are no tokens, unless that is wanted and nobody else can reach the address.
    """

    host: Name = Field(default="127.0.0.1", description="Address to listen at.")
    port: int = Field(default=8000, ge=0, le=65535, description="Port to listen at; 0: any that is free.")
    tokens: Location | None = Field(
        default=None, description="File of those who may ask: sha256 of their tokens, tenants, prefixes."
    )
    no_auth: bool = Field(
        default=False,
        description="Answer without tokens; only at a loopback address, which nobody else reaches.",
    )
    prefixes: tuple[Location, ...] = Field(
        default=(),
        description="Without tokens: folders and URIs below which inputs and outputs of whoever asks may lie. Every "
        "user of this machine may ask, with the rights of the service.",
    )
    weights: WeightsName = STARTER
    networks: EngineNetworks = NetworkSettings()
    device: Device = "auto"
    ontology: OntologyFile = None
    class_list: ClassListFile = None
    store: Location | None = Field(
        default=None, description="Folder or URI of what the service keeps; without one it keeps nothing."
    )
    storage: Storage = StoreOptions()
    presign: bool = Field(
        default=False,
        description="Whole results and stems of jobs come from the store itself (S3), and uploads may go to it, by "
        "addresses that are good for minutes.",
    )
    jobs: JobSettings = Field(default_factory=JobSettings, description="How jobs run; they need a store.")
    webhooks: WebhookSettings = Field(
        default_factory=WebhookSettings, description="Whom it tells of the end of a job."
    )
    decoders: Count = Field(default=2, description="Processes that decode.")
    limits: Limits = Field(default_factory=Limits, description="How much may be asked.")

    @model_validator(mode="after")
    def _closed(self) -> Self:
        if self.tokens is None and not self.no_auth:
            raise ConfigError(
                "service tokens",
                expected="a file of tokens, or no_auth=True at a loopback address",
                found="none",
            )
        if self.no_auth and self.tokens is not None:
            raise ConfigError("service", expected="tokens or no_auth", found="both")
        if self.no_auth and not is_loopback(self.host):
            raise ConfigError(
                "service host", expected="a loopback address without tokens", found=self.host or "all"
            )
        if self.prefixes and self.tokens is not None:
            raise ConfigError(
                "service prefixes", expected="prefixes of each token in the file of tokens", found="others"
            )
        for prefix in self.prefixes:
            if "://" not in prefix and not os.path.isabs(prefix):
                raise ConfigError("service prefixes", expected="absolute paths and URIs", found=prefix)
        return self

    def kept_at(self) -> Store | None:
        """Tell where it keeps what it keeps; None where it keeps nothing."""
        return None if self.store is None else Store(self.store, self.storage, OutputError)

    def sounds(self) -> SoundRequest:
        """Give what is asked for where a request says nothing."""
        return SoundRequest(
            weights=self.weights,
            networks=self.networks,
            device=self.device,
            ontology=self.ontology,
            class_list=self.class_list,
            storage=self.storage,
        )


def is_loopback(host: str) -> bool:
    """Tell whether an address or a name of one is that of this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
