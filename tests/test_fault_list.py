"""The list of known faults."""

from fault_list import PAGE, fault_list


def test_the_list_of_known_faults_is_what_the_tests_say():
    assert PAGE.read_text("utf-8") == fault_list(), "run python tests/fault_list.py"
