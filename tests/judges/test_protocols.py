from epipole.judges.depth import DepthProtocol
from epipole.judges.protocols import PROTOCOLS


def test_names_lead_to_protocols_that_print_them():
    for name, protocol in PROTOCOLS.items():
        assert str(protocol).startswith(f"{name}: ")
        assert str(protocol).endswith(f"[{protocol.key}]")
    assert PROTOCOLS["kitti-eigen-garg-80"] == DepthProtocol("median", "garg", cap=80.0)


def test_no_name_stands_twice_for_the_same():
    assert len({protocol.key for protocol in PROTOCOLS.values()}) == len(PROTOCOLS)
