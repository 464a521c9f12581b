"""A server of S3's interface in this process, with one bucket."""

import os
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

BUCKET = "bucket"


@contextmanager
def s3_server() -> Iterator[str]:
    """Yield the query of URIs of its bucket; the credentials are in the environment."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        for name, value in (("ACCESS_KEY_ID", "test"), ("SECRET_ACCESS_KEY", "test")):
            patch.setenv(f"AWS_{name}", value)
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        server.start()
        try:
            host, port = server.get_host_and_port()
            put = urllib.request.Request(f"http://{host}:{port}/{BUCKET}", method="PUT")
            urllib.request.urlopen(put).close()
            yield f"?endpoint_override={host}:{port}&scheme=http&region=us-east-1"
        finally:
            server.stop()
