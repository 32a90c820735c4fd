"""Results of evaluations in a run: one file a benchmark, the latest counts."""

from modalink.runs.results import read_results, write_results


def test_the_latest_results_of_each_benchmark_are_read(tmp_path):
    assert read_results(tmp_path) == {}
    write_results(tmp_path, "pope", {"score": 0.5})
    write_results(tmp_path, "qbench", {"score": 40.0})
    path = write_results(tmp_path, "pope", {"score": 0.75})
    (tmp_path / "evaluation" / "pope").mkdir()
    assert path == tmp_path / "evaluation" / "pope.json"
    assert read_results(tmp_path) == {"pope": {"score": 0.75}, "qbench": {"score": 40.0}}
