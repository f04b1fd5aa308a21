"""A real S3 server for tests: Ceph's gateway, one monitor and one store in memory, gone when the tests end.

Ceph is production software with real signatures, multipart uploads and errors; this starts the smallest cluster that
serves S3, without root, configuration of the machine, or anything that stays.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ACCESS_KEY = "testaccesskey0000001"
SECRET_KEY = "testsecretkey00000000000000000000000001"
REGION = "us-east-1"
PROGRAMS = ("ceph-mon", "ceph-osd", "radosgw", "radosgw-admin", "monmaptool", "ceph", "setpriv")

_CLUSTER_ID = "5e7f0000-0000-4000-8000-000000000001"
_STORE_ID = "5e7f0000-0000-4000-8000-000000000002"
_START_SECONDS = 240.0
_MEMORY_BYTES = 4 << 30

_CONFIGURATION = """\
[global]
fsid = {cluster_id}
mon_initial_members = a
mon_host = [v2:127.0.0.1:{monitor_port}/0]
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
ms_bind_ipv4 = true
ms_bind_ipv6 = false
# the daemons trust each other on loopback; S3 requests are signed all the same
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
ms_mon_client_mode = crc secure
ms_cluster_mode = crc
ms_service_mode = crc
ms_client_mode = crc
run_dir = {folder}
pid_file =
admin_socket =
crash_dir = {folder}
log_file =
log_to_stderr = true
err_to_stderr = true
debug_default = 0
mon_cluster_log_file = /dev/null
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 1
osd_pool_default_pgp_num = 1
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
mon_allow_pool_size_one = true
mon_max_pg_per_osd = 1000

[mon]
mon_data = {folder}/mon
paxos_propose_interval = 0.01
paxos_min_wait = 0.01
mon_tick_interval = 1
mon_data_avail_crit = 0
mon_data_avail_warn = 0

[osd]
osd_data = {folder}/osd
osd_objectstore = memstore
memstore_device_bytes = {memory_bytes}
osd_memory_target = 939524096
osd_numa_auto_affinity = false
osd_max_object_name_len = 2048
osd_max_object_namespace_len = 256
osd_op_num_shards = 2
osd_op_num_threads_per_shard = 2
osd_class_update_on_start = false
osd_min_pg_log_entries = 100
osd_max_pg_log_entries = 200
osd_pg_log_dups_tracked = 200
# a gateway that was killed is forgotten soon; until then others wait for its word before they change a bucket
osd_client_watch_timeout = 3

[client]
rgw_frontends = beast endpoint=127.0.0.1:{port} tcp_nodelay=1
rgw_thread_pool_size = 64
rgw_data = {folder}/rgw
rgw_rados_pool_pg_num_min = 1
rgw_enable_usage_log = false
rgw_enable_ops_log = false
rgw_run_sync_thread = false
rgw_dynamic_resharding = false
rgw_override_bucket_index_max_shards = 1
# what was deleted gives its memory back within seconds
rgw_gc_obj_min_wait = 5
rgw_gc_processor_period = 10
rgw_gc_processor_max_time = 10
"""


class CephError(Exception):
    """Ceph did not start; the message ends with what its programs said last."""


def missing_programs() -> tuple[str, ...]:
    """Name what is not installed on this machine."""
    return tuple(program for program in PROGRAMS if shutil.which(program) is None)


def reserve_port() -> socket.socket:
    """Hold a free port of loopback until the socket is closed: a server that asks for it by name still gets it."""
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.bind(("127.0.0.1", 0))
    return held


@dataclass
class CephServer:
    """The three daemons and the folder they live in."""

    port: int
    folder: Path = field(init=False)
    _daemons: dict[str, subprocess.Popen[bytes]] = field(init=False, default_factory=dict)
    _monitor: socket.socket = field(init=False, default_factory=reserve_port)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Make a cluster and wait until its gateway answers."""
        self.folder = Path(tempfile.mkdtemp(prefix="uss-ray-s3-"))
        try:
            self._make_cluster()
            self._launch("mon", "ceph-mon", "-f", "-i", "a")
            self._do("ceph", "osd", "new", _STORE_ID, "0")
            self._launch("osd", "ceph-osd", "-f", "-i", "0")
            # Makes the pools too, and waits for the store meanwhile.
            self._do(
                "radosgw-admin", "user", "create", "--uid=test", "--display-name=test", "--max-buckets=0",
                f"--access-key={ACCESS_KEY}", f"--secret-key={SECRET_KEY}",
            )  # fmt: skip
            self.start_gateway()
        except BaseException:
            self.stop()
            raise

    def start_gateway(self) -> None:
        """Start the process that speaks S3; what is stored stays, for it lives elsewhere."""
        self._launch("rgw", "radosgw", "-f", "-n", "client.rgw")
        give_up = time.monotonic() + _START_SECONDS
        while not self._answers():
            if self._daemons["rgw"].poll() is not None or time.monotonic() > give_up:
                raise CephError(f"the gateway did not answer\n{self._last_words()}")
            time.sleep(0.02)

    def kill_gateway(self) -> None:
        """Let the process that speaks S3 die as in a crash."""
        gateway = self._daemons.pop("rgw")
        gateway.kill()
        gateway.wait()

    def stop(self) -> None:
        """End the daemons and remove every trace."""
        for name in ("rgw", "osd", "mon"):
            daemon = self._daemons.pop(name, None)
            if daemon is None:
                continue
            # All they hold is memory, and they take long to say goodbye to it.
            daemon.kill()
            daemon.wait()
        self._monitor.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def client(self) -> Any:
        """Make a boto3 client: another road to the server than the one under test."""
        import boto3
        from botocore.config import Config

        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
            region_name=REGION,
            config=Config(request_checksum_calculation="when_required"),
        )

    def _make_cluster(self) -> None:
        for name in ("mon", "osd", "rgw"):
            (self.folder / name).mkdir()
        monitor_port = self._monitor.getsockname()[1]
        self._configuration.write_text(
            _CONFIGURATION.format(
                cluster_id=_CLUSTER_ID,
                monitor_port=monitor_port,
                folder=self.folder,
                port=self.port,
                memory_bytes=_MEMORY_BYTES,
            )
        )
        monitors = str(self.folder / "monmap")
        address = f"[v2:127.0.0.1:{monitor_port}]"
        self._do("monmaptool", "--create", "--fsid", _CLUSTER_ID, "--addv", "a", address, monitors)
        self._do("ceph-mon", "--mkfs", "-i", "a", "--monmap", monitors)
        self._do("ceph-osd", "--mkfs", "-i", "0", "--osd-uuid", _STORE_ID, "--no-mon-config")

    def _do(self, *command: str) -> None:
        with self._log(command[0]) as log:
            try:
                done = subprocess.run(
                    command,
                    env=self._environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    timeout=_START_SECONDS,
                )
            except subprocess.TimeoutExpired as error:
                raise CephError(f"{' '.join(command[:3])} took too long\n{self._last_words()}") from error
        if done.returncode != 0:
            raise CephError(f"{' '.join(command[:3])} failed\n{self._last_words()}")

    def _launch(self, name: str, *command: str) -> None:
        # Daemons must not outlive the tests, even where those are killed.
        with self._log(name) as log:
            self._daemons[name] = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *command],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _answers(self) -> bool:
        try:
            urllib.request.urlopen(self.endpoint, timeout=2).close()
        except urllib.error.HTTPError as answer:
            answer.close()
            return False
        except OSError:
            return False
        return True

    def _log(self, name: str) -> Any:
        return open(self.folder / f"{name}.log", "ab")

    def _last_words(self) -> str:
        words = []
        for log in sorted(self.folder.glob("*.log")):
            with contextlib.suppress(OSError):
                words += [f"--- {log.name}", log.read_text(errors="replace")[-1500:]]
        return "\n".join(words)

    @property
    def _configuration(self) -> Path:
        return self.folder / "ceph.conf"

    @property
    def _environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "CEPH_CONF": str(self._configuration),
            "CEPH_ARGS": "",
            "TCMALLOC_MAX_TOTAL_THREAD_CACHE_BYTES": str(32 << 20),
        }
