"""The pages of ``agent.canaries``: an address and the body that is known of it."""

from __future__ import annotations

import re
from urllib.parse import unquote

from watchdogd.loading.values import Refused, shown, texts
from watchdogd.settings import Canary

KNOWN = {
    "http://detectportal.firefox.com/success.txt": "success",
    "http://nmcheck.gnome.org/check_network_status.txt": "NetworkManager is online",
    "http://network-test.debian.org/nm": "NetworkManager is online",
    "http://www.msftconnecttest.com/connecttest.txt": "Microsoft Connect Test",
    "http://captive.apple.com/hotspot-detect.html": (
        "<HTML><HEAD><TITLE>Success</TITLE></HEAD><BODY>Success</BODY></HTML>"
    ),
}
"""What browsers and systems ask themselves, so that the body need not be written down."""
ALLOWED = (
    'a list of at most 9 pages, each "http://HOST/PATH#BODY" with the body that it answers (% as in an '
    f"address), or one whose body is known: {', '.join(sorted(KNOWN))}"
)
MOST = 9
_URL = re.compile(
    r"http://(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9]([A-Za-z0-9.-]{0,252}))(:[0-9]{1,5})?"
    r"(/[!\"$-~]{0,1000})?"
)
_LONGEST_BODY = 1000


def canaries(value: object) -> tuple[Canary, ...]:
    """A list of pages. Raises ``Refused``."""
    found = texts(value)
    if len(found) > MOST:
        raise Refused(f"{len(found)} pages")
    return tuple(_canary(one) for one in found)


def _canary(text: str) -> Canary:
    url, _, quoted = text.partition("#")
    if url.startswith("https://"):
        raise Refused(
            shown(url), "http://: over https a portal gives a certificate error and no page"
        )
    if not _URL.fullmatch(url) or _port(url) > 65535:
        raise Refused(shown(url))
    body = unquote(quoted).strip() or KNOWN.get(url, "")
    if not body:
        raise Refused(
            f"{shown(url)} without the body that it answers", 'that body behind a #: "URL#success"'
        )
    if len(body) > _LONGEST_BODY:
        raise Refused(f"a body of {len(body)} characters", f"at most {_LONGEST_BODY}")
    return Canary(url=url, body=body)


def _port(url: str) -> int:
    port = re.search(r":([0-9]+)(?:/|$)", url.removeprefix("http://"))
    return int(port[1]) if port else 80
