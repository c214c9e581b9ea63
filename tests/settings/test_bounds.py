import pytest
from helpers import composed

from mmoe_repro.errors import UsageError
from mmoe_repro.findings.claim_comparisons import PARTS
from mmoe_repro.settings.claims import read_claims


def test_the_committed_bounds_are_read_as_they_are():
    claims = read_claims(composed())
    assert set(claims) == {"level", "bad", "F2", *PARTS}
    assert claims["T3"]["margin"] == pytest.approx(2 / 30, rel=1e-5)


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [
        ("level", 0, "between 0 and 1"),
        ("level", 1, "between 0 and 1"),
        ("bad", 0, "a positive number"),
        ("bad", ".inf", "a positive number"),
        ("F3.ratio", -1, "a positive number"),
        ("C1.ratio", ".nan", "a positive number"),
        ("C2b.factor", 1, "a number above 1"),
        ("C2b.factor", "much", "a number above 1"),
        ("T1.excess", 1, "a number between -1 and 1"),
        ("T2.margin", "true", "a positive number"),
        ("T3.quantile", 0, "a number between 0 and 1"),
        ("T3.margin", 0, "a positive number"),
    ],
)
def test_a_bound_out_of_range_is_refused(key, value, allowed):
    with pytest.raises(UsageError, match=rf"^claims\.{key}=.*: must be {allowed}$"):
        read_claims(composed(f"claims.{key}={value}"))


@pytest.mark.parametrize("setting", ["level=0.01", "bad=1.5", "C2b.factor=1.25", "T1.excess=-0.1", "T3.quantile=0.05"])
def test_a_bound_in_range_is_a_setting(setting):
    key, _, value = setting.partition("=")
    node = read_claims(composed(f"claims.{setting}"))
    for part in key.split("."):
        node = node[part]
    assert node == float(value)
