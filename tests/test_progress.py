"""Steps of longer work report where they are in the whole."""

from ovito_glassml import progress


def told(work):
    """All fractions and texts that work reports."""
    seen = []
    work(lambda fraction, text: seen.append((fraction, text)))
    return seen


def steps(report):
    for fraction in (0.0, 0.5, 1.0):
        report(fraction, "at work")


def test_a_step_reports_its_share_of_the_whole():
    assert told(lambda report: steps(progress.span_of(report, 0.2, 0.6, "first: "))) == [
        (0.2, "first: at work"),
        (0.4, "first: at work"),
        (0.6, "first: at work"),
    ]


def test_equal_steps_follow_each_other_without_a_gap():
    def work(report):
        for number in range(4):
            steps(progress.nth_of(report, number, 4))

    fractions = [fraction for fraction, _ in told(work)]
    assert fractions == sorted(fractions)
    assert (fractions[0], fractions[-1]) == (0.0, 1.0)
    assert fractions[2::3] == [0.25, 0.5, 0.75, 1.0]


def test_shares_of_shares_and_work_that_has_no_text():
    def work(report):
        progress.with_text(progress.nth_of(progress.span_of(report, 0.5, 1.0), 1, 2), "inside")(0.5)

    assert told(work) == [(0.875, "inside")]


def test_the_time_left_follows_from_the_time_taken(monkeypatch):
    clock = iter([100.0, 130.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    (said,) = told(lambda report: progress.with_time_left(report)(0.25, "training"))
    assert said == (0.25, "training, about 90 s left")


def test_nothing_is_said_of_time_where_it_cannot_be_known():
    def work(report):
        timed = progress.with_time_left(report)
        timed(0.0, "beginning")
        timed(1.0, "done")

    assert told(work) == [(0.0, "beginning"), (1.0, "done")]


def test_silence_takes_both_kinds_of_reports():
    progress.silent(0.5)
    progress.silent(0.5, "at work")
