"""The metrics of a run are what Prometheus reads: `python -m unittest discover tests/python`.

Needs the built `target/debug/lake`, or the one that LAKE names.
"""

import os
import subprocess
import tempfile
import unittest
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

REPOSITORY = Path(__file__).parents[2]
LAKE = os.environ.get("LAKE", REPOSITORY / "target/debug/lake")


class Metrics(unittest.TestCase):
    def test_a_file_of_metrics_is_read_by_the_parser_of_prometheus(self):
        with tempfile.TemporaryDirectory() as scratch:
            file = Path(scratch, "lake.prom")
            own = {name: value for name, value in os.environ.items() if not name.startswith("LAKE_")}
            own["LAKE_CACHE"] = str(REPOSITORY / "target/lake-tests/cache")
            run = [LAKE, "run", REPOSITORY / "pipelines/utility.yaml", "--root", scratch, "--metrics", file]
            # The second one has nothing to do, and puts its families among those of the first.
            for _ in range(2):
                subprocess.run(run, env=own, cwd=scratch, check=True, capture_output=True)
            families = {family.name: family for family in text_string_to_metric_families(file.read_text())}

        self.assertEqual({family.type for family in families.values()}, {"gauge"})
        self.assertTrue(all(family.documentation for family in families.values()))
        samples = [sample for family in families.values() for sample in family.samples]
        self.assertEqual({sample.labels["pipeline"] for sample in samples}, {"utility"})
        keys = [(sample.name, tuple(sorted(sample.labels.items()))) for sample in samples]
        self.assertEqual(len(keys), len(set(keys)))

        def value(name, **labels):
            found = [s.value for s in families[name].samples if labels.items() <= s.labels.items()]
            self.assertEqual(len(found), 1, (name, labels, found))
            return found[0]

        self.assertEqual(value("lake_run_last_exit_code"), 0)
        self.assertEqual(value("lake_run_number"), 1)
        rows = value("lake_run_input_rows", input="readings", result="accepted")
        changes = {s.labels["change"]: s.value for s in families["lake_run_table_rows"].samples
                   if s.labels["table"] == "standard/readings"}
        self.assertEqual(sum(changes.values()), rows)
        self.assertEqual(value("lake_table_rows", table="standard/readings"), changes["inserted"])
        self.assertGreaterEqual(value("lake_run_last_end_timestamp_seconds"),
                                value("lake_run_last_published_timestamp_seconds"))


if __name__ == "__main__":
    unittest.main()
