"""The distributions here are tested where they are installed; ``tests/plugins/test_third_party.py`` sees to that."""

collect_ignore_glob = ["*"]
