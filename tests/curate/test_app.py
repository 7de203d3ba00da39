"""The guard in front of the app: who asks wrongly learns nothing and changes nothing."""

from __future__ import annotations

import http.client
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")

from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from folksong.cli import main
from folksong.curate.app import View, build_app, sent_json
from folksong.web import BODY_BYTES, Guard, Hosts, scratch_folder

TOKEN = "t" * 32
BASE = "http://127.0.0.1:8123"


@pytest.fixture
def changed() -> list[dict]:
    return []


@pytest.fixture
def client(changed) -> TestClient:
    async def change(request):
        changed.append(await sent_json(request))
        return JSONResponse({"changed": True})

    async def take(request):
        return PlainTextResponse(str(len(await request.body())))

    routes = [
        Route("/", lambda request: PlainTextResponse("the page")),
        Route("/change", change, methods=["POST"]),
        Route("/take", take, methods=["POST"]),
    ]
    views = [
        View("one", "One", routes, uploads={"/take": 3 * BODY_BYTES}),
        View("two", "Two", missing="--run"),
    ]
    return TestClient(build_app(views, TOKEN, Hosts("127.0.0.1", 8123)), base_url=BASE)


def test_our_own_page_may_ask_and_change(client, changed):
    assert client.get(f"/{TOKEN}/").text == "the page"
    answer = client.post(f"/{TOKEN}/one/change", json={"a": "ä"}, headers={"Origin": BASE})
    assert answer.json() == {"changed": True}
    assert changed == [{"a": "ä"}]


def test_every_answer_forbids_what_the_app_does_not_need(client):
    for answer in (
        client.get(f"/{TOKEN}/one/"),
        client.get("/guess/one/"),
        client.get(f"/{TOKEN}/page/page.css"),
    ):
        assert "default-src 'self'" in answer.headers["content-security-policy"]
        assert "unsafe" not in answer.headers["content-security-policy"]
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "path",
    ["/", "/one/", f"/{TOKEN[:-1]}/one/", f"/{TOKEN}x/one/", f"//{TOKEN}/one/", "/%74/one/", "/ü/one/"],
)
def test_a_guess_at_the_token_reads_the_same_as_an_unknown_address(client, path):
    wrong, unknown = client.get(path), client.get(f"/{TOKEN}/no/such/address")
    assert (
        (wrong.status_code, wrong.text)
        == (unknown.status_code, unknown.text)
        == (404, '{"error":"Not Found"}')
    )


@pytest.mark.parametrize(
    "host",
    ["evil.example:8123", "127.0.0.1.evil.example:8123", "127.0.0.1", "127.0.0.1:80", "", "10.0.0.1:8123"],
)
def test_a_foreign_host_is_refused(client, host):
    answer = client.get(f"/{TOKEN}/one/", headers={"Host": host})
    assert (answer.status_code, answer.text) == (400, '{"error":"the server is not known under this Host"}')


@pytest.mark.parametrize("host", ["localhost:8123", "[::1]:8123", "LOCALHOST:8123"])
def test_names_of_this_machine_are_known(client, host):
    assert client.get(f"/{TOKEN}/one/", headers={"Host": host}).text == "the page"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://127.0.0.1:9999"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
        ({"Content-Type": "multipart/form-data; boundary=x"}, 415),
        ({"Content-Type": ""}, 415),
    ],
)
def test_what_a_foreign_page_can_send_changes_nothing(client, changed, headers, status):
    sent = {"Content-Type": "application/json", **headers}
    answer = client.post(f"/{TOKEN}/one/change", content=b'{"a": 1}', headers=sent)
    assert answer.status_code == status
    assert not changed


def test_only_get_and_post_are_known(client, changed):
    for method in ("PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"):
        assert client.request(method, f"/{TOKEN}/one/change").status_code == 405
    assert client.get(f"/{TOKEN}/one/change").status_code == 405
    assert not changed


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff", b"[" * 100_000, b'"text"'])
def test_what_is_no_json_object_is_refused(client, changed, body):
    answer = client.post(f"/{TOKEN}/one/change", content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()) == (400, {"error": "a JSON object was expected"})
    assert not changed


def test_a_body_is_measured_while_it_is_read(client, changed):
    def endless():
        for _ in range(BODY_BYTES // 1000 + 2):
            yield b" " * 1000

    headers = {"Content-Type": "application/json"}
    for content in (endless(), b" " * (BODY_BYTES + 1)):
        answer = client.post(f"/{TOKEN}/one/change", content=content, headers=headers)
        assert answer.status_code == 413
    assert not changed
    taken = client.post(f"/{TOKEN}/one/take", content=b" " * 2 * BODY_BYTES, headers=headers)
    assert taken.text == str(2 * BODY_BYTES)
    assert (
        client.post(f"/{TOKEN}/one/take", content=b" " * (3 * BODY_BYTES + 1), headers=headers).status_code
        == 413
    )


@pytest.mark.parametrize(
    "path",
    [
        "../app.py",
        "%2e%2e/app.py",
        "..%2fapp.py",
        "%2e%2e%2fapp.py",
        "....//app.py",
        "/etc/passwd",
        "..\\app.py",
    ],
)
def test_nothing_outside_the_pages_is_served(client, path):
    answer = client.get(f"{BASE}/{TOKEN}/page/{path}")
    assert answer.status_code == 404
    assert "Guard" not in answer.text


def test_a_view_without_its_input_says_what_it_needs(client):
    answer = client.get(f"/{TOKEN}/two/")
    assert "<code>--run</code>" in answer.text
    assert f'href="/{TOKEN}/one/"' in answer.text


def test_an_app_on_all_addresses_takes_digits_but_no_foreign_name():
    hosts = Hosts("0.0.0.0", 80)
    assert "192.168.1.7:80" in hosts
    assert "[fe80::1]:80" in hosts
    assert "evil.example:80" not in hosts
    assert "192.168.1.7.evil.example:80" not in hosts
    assert "192.168.1.7:81" not in hosts


def test_a_websocket_is_not_answered(run_async):
    sent = []

    async def ask() -> None:
        guard = Guard(None, TOKEN, Hosts("127.0.0.1", 1), {})
        await guard({"type": "websocket", "path": f"/{TOKEN}/"}, None, sent.append)

    run_async(ask())
    assert not sent


def test_a_thousand_requests_at_once_leave_the_app_answering(app):
    running = app()
    host, path = urlsplit(running.address).netloc, urlsplit(running.address).path

    def ask(number: int) -> int:
        connection = http.client.HTTPConnection(host, timeout=60)
        try:
            connection.request("GET", path if number % 2 else "/guess/")
            return connection.getresponse().status
        except (OSError, http.client.HTTPException):
            return 0
        finally:
            connection.close()

    with ThreadPoolExecutor(100) as pool:
        statuses = set(pool.map(ask, range(1000)))
    assert statuses <= {0, 307, 404, 503}
    assert ask(1) == 307
    assert "Traceback" not in running.stop()
    assert running.process.returncode == 0


def test_the_token_is_long_new_each_time_and_in_no_log(app):
    addresses = []
    for _ in range(2):
        running = app()
        addresses.append(urlsplit(running.address).path)
        connection = http.client.HTTPConnection(urlsplit(running.address).netloc)
        connection.request("GET", running.address + "no/such")
        connection.getresponse().read()
        connection.close()
        assert addresses[-1] not in running.stop()
    assert addresses[0] != addresses[1]
    assert all(len(address.strip("/")) >= 32 for address in addresses)  # base 64: 6 bits each


def test_the_page_of_an_app_with_nothing_to_show(app, open_page):
    page = open_page(app().address)
    page.get_by_text("--labels and --tags").wait_for()
    assert page.locator("nav .missing").count() == 4


def test_what_a_killed_app_left_goes_with_the_next_start(app):
    running = app()
    left = Path(tempfile.mkdtemp(prefix=f"folksong-web-{running.process.pid}-"))
    scratch_folder().cleanup()
    assert left.is_dir()
    running.kill()
    scratch_folder().cleanup()
    assert not left.exists()


@pytest.mark.parametrize("port", ["-1", "65536"])
def test_a_port_that_there_is_not_is_an_error_of_use(port, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["curate", "--no-open", "--port", port])
    assert stopped.value.code == 2


def test_a_label_space_that_is_not_there_is_told_without_tags_too(tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["curate", "--no-open", "--labels", str(tmp_path / "none.labels.json")])
    assert stopped.value.code == 1
    assert "none.labels.json" in capsys.readouterr().err


def test_a_port_that_is_taken_is_named(app, capsys):
    port = str(urlsplit(app().address).port)
    with pytest.raises(SystemExit) as stopped:
        main(["curate", "--no-open", "--port", port])
    assert stopped.value.code == 1
    assert f"127.0.0.1:{port}: cannot be bound to" in capsys.readouterr().err
