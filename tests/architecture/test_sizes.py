import ast

from tests.architecture.sources import Source, sources

FILE_LINES = 400
TEST_FILE_LINES = 600
FUNCTION_LINES = 50


def test_files_stay_within_their_budget() -> None:
    over = [
        f"{source.name}: {lines} lines (at most {budget})"
        for source, lines, budget in sizes()
        if lines > budget
    ]
    assert not over, "\n".join(over)


def test_functions_stay_within_their_budget() -> None:
    over = [
        f"{source.name}:{function.lineno}: {function.name} has {length(function)} lines (at most {FUNCTION_LINES})"
        for source in sources()
        for function in source.functions()
        if length(function) > FUNCTION_LINES
    ]
    assert not over, "\n".join(over)


def test_median_function_is_short() -> None:
    lengths = sorted(length(f) for s in sources() if not s.is_test for f in s.functions())
    assert lengths[len(lengths) // 2] <= 12


def sizes() -> list[tuple[Source, int, int]]:
    return [
        (source, source.text.count("\n"), TEST_FILE_LINES if source.is_test else FILE_LINES)
        for source in sources()
    ]


def length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from `def` to the end; decorators (routes, SQL) are data and do not count."""
    assert function.end_lineno is not None
    return function.end_lineno - function.lineno + 1
