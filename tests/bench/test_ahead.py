import pytest

from rlp.bench import ahead, targets


@pytest.mark.parametrize(
    ("num_bytes", "flops", "slower_us"),
    [(4.8e9, 1.0, 1e3), (1.0, 989e9, 1e3)],  # a millisecond of memory, or of products
)
def test_an_estimate_is_launches_and_what_is_slower(
    num_bytes: float, flops: float, slower_us: float
):
    target = targets.find("h200")
    estimate = ahead.estimated_us(target, "bf16", 30, num_bytes, flops)
    assert estimate == pytest.approx(30 * target.launch_us + slower_us)
