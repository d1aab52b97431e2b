"""SEG and RTSTRUCT stored in an archive: Orthanc takes them and gives them back."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from dicom_export_example import CASES, NAME, write_objects

ORTHANC = shutil.which("Orthanc") or shutil.which("Orthanc", path="/usr/sbin:/usr/local/sbin")


@pytest.fixture(scope="module")
def archive_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an empty Orthanc that runs during the tests of this file."""
    if ORTHANC is None:
        pytest.skip("Orthanc is not installed (apt-get install orthanc)")
    folder = tmp_path_factory.mktemp("orthanc")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = {
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "storage"),
        "HttpPort": port,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "DicomServerEnabled": False,
        "Plugins": [],
    }
    (folder / "orthanc.json").write_text(json.dumps(settings))
    address = f"http://127.0.0.1:{port}"
    with (folder / "log.txt").open("w") as log:
        server = subprocess.Popen([ORTHANC, folder / "orthanc.json"], stdout=log, stderr=log)
        try:
            _wait_for(address, server, folder / "log.txt")
            yield address
        finally:
            server.terminate()
            server.wait(timeout=30)


def _wait_for(address: str, server: subprocess.Popen, log: Path) -> None:
    for _ in range(300):
        assert server.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(f"{address}/system", timeout=5):
                return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.1)
    raise AssertionError(log.read_text())


def _ask(address: str, content: bytes | None = None) -> bytes:
    with urllib.request.urlopen(address, data=content, timeout=30) as answer:
        return answer.read()


@pytest.fixture(params=CASES)
def written(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, list[Dataset]]:
    """A folder with mask.nii.gz, seg.dcm and rtstruct.dcm, and the headers behind them."""
    return tmp_path, write_objects(tmp_path, request.param)


@pytest.mark.parametrize("name", ["seg.dcm", "rtstruct.dcm"])
def test_orthanc_takes_them_and_gives_them_back(
    name: str, written: tuple[Path, list[Dataset]], archive_server: str
):
    folder, headers = written
    content = (folder / name).read_bytes()
    taken = json.loads(_ask(f"{archive_server}/instances", content))
    assert taken["Status"] == "Success"
    assert _ask(f"{archive_server}/instances/{taken['ID']}/file") == content
    study = json.loads(_ask(f"{archive_server}/studies/{taken['ParentStudy']}"))
    assert study["MainDicomTags"]["StudyInstanceUID"] == headers[0].StudyInstanceUID
    assert study["PatientMainDicomTags"]["PatientName"] == NAME
