"""`modalink data filter`: what is good of data."""

import json
from typing import Annotated

import typer

from modalink.cli.data_check import (
    Against,
    Also,
    Checks,
    Limit,
    Llm,
    Reader,
    SourceName,
    SourceSettings,
    StageName,
    Without,
    chosen_checks,
    told,
    watching,
)
from modalink.cli.data_convert import Keep, LedgerFile, Out, parsed_writer, print_left_out
from modalink.cli.sources import demand_one
from modalink.data.output import read_back
from modalink.data_quality.filtering import keep_good, scores_of


def filter_(
    source: SourceName,
    settings: SourceSettings = None,
    *,
    out: Out,
    to: Annotated[str, typer.Option("--to", help="The format, as for `data convert`.")] = "messages",
    checks: Checks = None,
    also: Also = None,
    without: Without = None,
    against: Against = None,
    recipe: Reader = None,
    stage: StageName = None,
    llm: Llm = None,
    keep: Keep = None,
    ledger: LedgerFile = None,
    limit: Limit = None,
    as_json: Annotated[bool, typer.Option("--json", help="What became of it as a JSON line.")] = False,
) -> None:
    """Write the samples in which no check finds a fault; every other one stands in a ledger, with its reasons.

    Scores of a run or a judge are kept beside --out: stopped, the same command resumes.

    \b
    modalink data filter chats.jsonl --out good.jsonl --against benchmarks/gqa
    modalink data filter chats.jsonl --out good.jsonl --also "{kind: dependency, run: runs/mine}"
    modalink data filter chats.jsonl --out good.jsonl --check duplicates --check \\
        "{kind: reward, reward: {kind: judge, url: 'http://localhost:8000/v1', model: m}, least: 0.6}"
    """
    sources = told(source, settings or [], recipe, stage, llm, against or [], scores_of(out))
    demand_one([one.config.name for one in sources])
    (config, context), writer = sources[0], parsed_writer(to)
    wanted = chosen_checks(checks or [], also or [], without or [])
    with watching(f"checking {config.name}", quiet=as_json) as on_sample:
        found = keep_good(
            config, wanted, context, writer, out, ledger=ledger, keep=keep or [], limit=limit, on_sample=on_sample
        )
    dropped = found.checked.samples - found.written
    if as_json:
        counts = {"samples": found.checked.samples, "written": found.written, "dropped": dropped}
        said = {"left_out": found.left_out, "facts": found.checked.facts, "not_checked": found.checked.left_out}
        print(json.dumps(counts | said | {"ledger": str(found.ledger), "out": str(out)}, ensure_ascii=False))
        return
    share = f"{found.written:,} of {found.checked.samples:,} samples"
    print(f"{out}: {share}; a recipe reads them by {read_back(writer, out)}")
    for name, why in found.checked.left_out.items():
        print(f"not checked: {name}, which needs {why}")
    if dropped:
        print(f"dropped: {dropped:,} samples")
        print_left_out(found.left_out, found.ledger)
