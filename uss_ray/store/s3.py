"""S3 through s3fs, patient: every request, and every answer's body, is tried again while its fault may pass.

Owns the retries, which s3fs and botocore would count instead of time, and what is left of an upload that fails.
Imported only once somebody reaches for S3.
"""

from __future__ import annotations

from typing import Any

from fsspec.asyn import sync_wrapper
from s3fs import S3FileSystem

from uss_ray.store.faults import (
    S3_CONNECT_SECONDS,
    S3_SILENT_SECONDS,
    client_errors,
    is_transient,
    store_code,
)
from uss_ray.store.patience import patiently_awaited
from uss_ray.store.reading import make_reads_patient

_VERSION_MARK = "?versionId="
_CLIENT = {
    "connect_timeout": S3_CONNECT_SECONDS,
    "read_timeout": S3_SILENT_SECONDS,
    "retries": {"total_max_attempts": 1, "mode": "standard"},
    # Addresses that are given away would be signed the old way, which says nothing of the size.
    "signature_version": "s3v4",
}


class PatientS3FileSystem(S3FileSystem):  # type: ignore[misc]  # s3fs has no types
    """An fsspec file system for ``s3://`` that waits out faults that pass (`patience_seconds`).

    Parameters
    ----------
    patience_seconds : float, optional
        None leaves it to the environment.
    **options : object
        Of `s3fs.S3FileSystem`.
    """

    retries = 1

    def __init__(self, *, patience_seconds: float | None = None, **options: Any) -> None:
        self._seconds = patience_seconds
        options["config_kwargs"] = {**_CLIENT, **options.get("config_kwargs", {})}
        super().__init__(**options)

    def split_path(self, path: str) -> tuple[str, str, str | None]:
        """Split a path into bucket and key; s3fs takes the end of some keys for a version of an object."""
        bucket, key, version = super().split_path(path)
        _, mark, rest = path.partition(_VERSION_MARK)
        if not mark or version is not None:
            return bucket, key, version
        trail = path[len(path.rstrip("/")) :]
        return bucket, key.removesuffix(trail) + mark + rest, None

    async def _call_s3(self, method: str, *parts: Any, **request: Any) -> Any:
        attempts = 0

        async def ask() -> Any:
            nonlocal attempts
            attempts += 1
            if method == "create_multipart_upload":
                # Of a try whose answer got lost, or of a process that was killed: who uploads again puts it away.
                await self._abort_uploads_of(request["Bucket"], request["Key"], is_needed=attempts > 1)
            return await super(PatientS3FileSystem, self)._call_s3(method, *parts, **request)

        where = [request[name] for name in ("Bucket", "Key", "Prefix") if request.get(name)]
        place = self._told("/".join(where))
        try:
            return await patiently_awaited(ask, seconds=self._seconds, place=place)
        except PermissionError as error:
            refusal = error
        if method == "head_object":
            refusal = await self._reason_of(refusal, request)
        raise refusal

    # s3fs binds its own coroutine to this name.
    call_s3 = sync_wrapper(_call_s3)

    async def _reason_of(self, refusal: PermissionError, request: dict[str, Any]) -> PermissionError:
        """Ask for one byte: an answer to HEAD has no body to say why it was refused."""
        wanted = {name: request[name] for name in ("Bucket", "Key", "VersionId") if name in request}
        try:
            answer = await self._call_s3("get_object", Range="bytes=0-0", **wanted)
        except PermissionError as error:
            return error
        except OSError:
            return refusal
        answer["Body"].close()
        return refusal

    async def _abort_uploads_of(self, bucket: str, key: str, *, is_needed: bool) -> None:
        """Take back uploads to a key that were begun and not ended; where it is not needed, it may be forbidden."""
        try:
            begun = await self._call_s3("list_multipart_uploads", Bucket=bucket, Prefix=key)
        except client_errors():
            if is_needed:
                raise
            return
        for upload in begun.get("Uploads", ()):
            if upload["Key"] == key:
                await self._abort_mpu(bucket, key, upload["UploadId"])

    async def _cat_file(self, path: str, **options: Any) -> bytes:
        whole: bytes = await patiently_awaited(
            lambda: super(PatientS3FileSystem, self)._cat_file(path, **options),
            seconds=self._seconds,
            place=self._told(path),
        )
        return whole

    def _open(self, path: str, mode: str = "rb", **options: Any) -> Any:
        file = super()._open(path, mode, **options)
        if mode != "rb":
            return file
        return make_reads_patient(file, seconds=self._seconds, place=self._told(path))

    def _told(self, path: str) -> str:
        """Name an object, and the store that was given, for who waits for it."""
        location = f"s3://{self._strip_protocol(path)}"
        return f"{location} at {self.endpoint_url}" if self.endpoint_url else location

    async def _put_file(self, lpath: str, rpath: str, **options: Any) -> None:
        def again(error: BaseException) -> bool:
            # The answer to its last request got lost, and the store has finished this upload already; or somebody who
            # uploads to the same place has taken it for a lost one.
            return is_transient(error) or store_code(error) == "NoSuchUpload"

        await patiently_awaited(
            lambda: super(PatientS3FileSystem, self)._put_file(lpath, rpath, **options),
            seconds=self._seconds,
            worth_repeating=again,
            is_short=False,  # its requests are
        )

    async def _abort_mpu(self, bucket: str, key: str, mpu: str) -> None:
        try:
            await super()._abort_mpu(bucket, key, mpu)
        except FileNotFoundError:
            return
