import pytest

from xception import network
from xception.errors import EnvironmentFault, UsageError
from xception.network import Patience, check_address, is_passing, patiently, refuse_offline


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://a.example/x",
        "https://",
        "http://169.254.169.254/latest/meta-data",
        "http://[fe80::1]/x",
        "http://[::ffff:169.254.169.254]/x",
        "http://metadata.google.internal/x",
        "http://user:secret@169.254.0.1/x",
    ],
)
def test_addresses_of_no_data_are_refused_without_their_credentials(url: str) -> None:
    with pytest.raises(UsageError) as error:
        check_address(url)
    assert "secret" not in str(error.value)


def test_a_name_that_leads_to_a_link_local_address_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: [(2, 1, 6, "", ("169.254.169.254", 0))])
    with pytest.raises(UsageError, match="link-local"):
        check_address("https://innocent.example/x")


@pytest.mark.parametrize("url", ["http://127.0.0.1:8000/x", "https://10.0.0.1/x", "https://unknown.invalid/x"])
def test_servers_are_not_refused(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise OSError("Name or service not known")

    monkeypatch.setattr("socket.getaddrinfo", unknown)
    check_address(url)


@pytest.mark.parametrize(("value", "forbidden"), [("", False), ("0", False), ("1", True), ("yes", True)])
def test_offline_is_offline(value: str, forbidden: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XCEPTION_OFFLINE", value)
    assert network.is_offline() is forbidden
    if forbidden:
        with pytest.raises(EnvironmentFault, match=r"//\*\*\*@a\.example/x is needed"):
            refuse_offline("https://user:secret@a.example/x")


class Answer(Exception):
    def __init__(self, status: int) -> None:
        self.status = status


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (Answer(503), True),
        (Answer(429), True),
        (Answer(404), False),
        (Answer(501), False),
        (TimeoutError(), True),
        (ConnectionResetError(), True),
        (FileNotFoundError(), False),
        (ValueError(), False),
    ],
)
def test_only_what_may_pass_is_asked_again(error: Exception, passes: bool) -> None:
    def ask() -> None:
        asked.append(1)
        raise error

    asked: list[int] = []
    assert is_passing(error) is passes
    with pytest.raises(type(error)):
        patiently(ask)
    assert len(asked) == (1 + len(network.PAUSES_S) if passes else 1)


def test_patience_ends_at_its_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(network, "now", lambda: clock[0])
    patience = Patience(deadline_s=10, pauses_s=(1.0,) * 5)
    assert patience.rest()
    clock[0] = 11.0
    assert not patience.rest()
