import socket

import pytest

from node.cli.run import shown_url
from node.config import load_site
from tests.node.cli.conftest import Gridnode


@pytest.mark.parametrize(
    ("server", "url"),
    [
        ('{listen: "127.0.0.1:4840"}', "opc.tcp://127.0.0.1:4840"),
        ('{listen: "0.0.0.0:4841"}', f"opc.tcp://{socket.gethostname().lower()}:4841"),
        ('{listen: "[::]:4840", names: [plant.example]}', "opc.tcp://plant.example:4840"),
        ('{listen: "[::1]:4840"}', "opc.tcp://[::1]:4840"),
    ],
)
def test_the_node_is_shown_by_the_name_of_its_endpoints(gridnode: Gridnode, server: str, url: str) -> None:
    gridnode.site.write_text(gridnode.site.read_text().replace('{listen: "127.0.0.1:4840"}', server))
    assert shown_url(load_site(gridnode.site)) == url
