"""``nnunet_pst plan``: stock planning and preprocessing, then our configurations and folds."""

from __future__ import annotations

import argparse
import json
import os


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb."""
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "dataset", nargs="?", help="name, such as DatasetPST or Dataset501_PST, or number"
    )
    source.add_argument("-d", dest="also_dataset", metavar="dataset", help="the same, as nnU-Net's")
    parser.add_argument(
        "--extend",
        action="store_true",
        help="add our configurations to what nnUNetv2_plan_and_preprocess has made",
    )
    parser.add_argument(
        "-c",
        "--configurations",
        nargs="+",
        default=["2d"],
        metavar="NAME",
        help="stock configurations to preprocess (default: 2d; add 3d_fullres for the baseline)",
    )
    parser.add_argument(
        "-pl", "--planner", default="ExperimentPlanner", help="nnU-Net planner (class name)"
    )
    parser.add_argument("-p", "--plans", help="name of the plans (default: the planner's)")
    parser.add_argument(
        "--overwrite-folds",
        action="store_true",
        help="change folds even where a finished training has learned from patients who are test "
        "patients now",
    )
    parser.add_argument(
        "--workers",
        type=int,
        default=int(os.environ.get("nnUNet_def_n_proc", "2")),  # noqa: SIM112 (the host's name)
        help="processes (default: nnUNet_def_n_proc, else 2)",
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Plan, then print what was decided and why."""
    from nnunet_pst.nnunet.planning import PlanningSettings, plan_dataset

    result = plan_dataset(
        arguments.dataset or arguments.also_dataset,
        PlanningSettings(
            extend=arguments.extend,
            configurations=arguments.configurations,
            planner=arguments.planner,
            plans=arguments.plans,
            overwrite_folds=arguments.overwrite_folds,
        ),
        workers=arguments.workers,
    )
    if arguments.json:
        print(
            json.dumps(
                {
                    "configurations": result.configurations,
                    "folds": result.folds,
                    "decisions": result.decisions,
                }
            )
        )
    else:
        print("\n".join(result.decisions))
    return 0
