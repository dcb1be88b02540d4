"""What is said of a name that nobody knows."""

from mooring.suggestions import suggest

KNOWN = ("vendor_id", "product_id", "address")


def test_a_slip_is_answered_with_the_nearest_name() -> None:
    assert suggest("vendorid", KNOWN) == "did you mean vendor_id?"


def test_what_resembles_nothing_is_answered_with_all_that_is_known() -> None:
    assert suggest("qqq", KNOWN) == "known are vendor_id, product_id, address"
