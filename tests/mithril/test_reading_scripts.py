"""What a bid runs, read back from Mithril for a machine that didn't place it."""

from __future__ import annotations

import pytest

from flow_core.domain.node_files import NodeFiles
from flow_core.domain.script import NodeTask, parse_script, render_script
from flow_core.errors import InvalidRequest
from tests.mithril.desk import BID, body

TASK = NodeTask(name="train", token="0abcdefg", command="python train.py", env={"LR": "0.1"})


@pytest.mark.parametrize("keeps", [True, False])
def test_a_bid_read_by_itself_has_its_script(desk, mithril, keeps):
    """The launch specification's script is there, whole; lists and bids without one have none."""
    boot = "#!/bin/bash\ncat <<'FLOW'\n@PAYLOAD@\nFLOW\n"
    script = render_script(TASK, files=NodeFiles(helper="pass\n", boot=boot))
    told = body("bid")
    told["launch_specification"]["startup_script"] = script if keeps else None
    desk.on(f"GET /v2/spot/bids/{BID}", told)
    desk.on(f"GET /v2/spot/bids/{BID}/status", body("bid_status"))
    bid = mithril.market.bid(BID)

    if keeps:
        assert TASK == parse_script(bid.script)
        assert script not in repr(bid)
    else:
        with pytest.raises(InvalidRequest):
            parse_script(bid.script)
