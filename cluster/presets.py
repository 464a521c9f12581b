"""`PRESETS`: named experiments, tasks x algorithms x sizes. A preset is a value; change any field
of it on the command line.

The tiny size (2 layers, width 64 or 128) trains on two CPU cores in minutes. The names that end in
`-gpt2` have the size of the paper's model (arXiv 2311.18232). Their hyper-parameters are not the
paper's and have not been tuned. Give them pretrained weights with `--model.path`.
"""

from dataclasses import replace
from typing import NamedTuple

from actors.config import SamplerConfig
from cluster.config import DataConfig, EvaluationConfig, RolloutConfig
from cluster.experiment import AnyAlgorithm, Experiment
from learners.algorithms.bc import BC
from learners.algorithms.filtered_bc import FilteredBC, OnlineFilteredBC
from learners.algorithms.ilql import ILQL, OnlineILQL
from learners.algorithms.mc import MC
from learners.algorithms.ppo import PPO
from learners.algorithms.qsft import QSFT
from learners.checkpoints.initial import ModelConfig
from learners.config import LearnerConfig, OptimiserConfig
from lmrl.errors import unknown

_FO = Experiment(
    task="maze-fo",
    algorithm=BC(observation_weight=1.0),
    updates=200,
    model=ModelConfig(context=64),
    data=DataConfig(episodes=1500, batch=8),
    rollouts=RolloutConfig(max_tokens=8),
    evaluation=EvaluationConfig(start_episodes=25),
    # Steps of a model this small take less time than two threads need to meet.
    sampler=SamplerConfig(threads=1),
    learner=LearnerConfig(
        optimiser=OptimiserConfig(lr=1e-3, decay="linear"), micro_tokens=8192, threads=1
    ),
)

_FO_PPO = replace(
    _FO,
    start="maze-fo-bc",
    # The KL weight keeps rare tokens rare: with a tenth of it, illegal moves cost the middle of the
    # run. The warm-up lets the first round take many small steps before its KL bound is reached.
    algorithm=PPO(value_scale=10.0, value_start=-30.0, kl_coef=0.05, minibatch=512),
    updates=24,
    save_every=6,
    evaluation=EvaluationConfig(),
    learner=LearnerConfig(
        optimiser=OptimiserConfig(lr=5e-4, head_lr=3e-3, decay="linear", warmup=20),
        micro_tokens=8192,
        threads=1,
    ),
)

# Many equal rows make large batches cheap here, and a large batch makes values quiet. No value may
# begin above -1 / (1 - gamma), the lowest return: a token that was never tried would look good.
_FO_MC = replace(
    _FO,
    start="maze-fo-bc",
    algorithm=MC(
        gamma=0.95, cql_weight=0.05, value_start=-20.0, value_scale=5.0, endless=True, beta=8.0
    ),
    updates=600,
    save_every=100,
    data=DataConfig(episodes=1500, batch=64),
    evaluation=EvaluationConfig(every=100, every_episodes=100),
    learner=LearnerConfig(
        optimiser=OptimiserConfig(lr=1e-3, decay="linear", warmup=20), micro_tokens=65536, threads=1
    ),
)

# A move is three tokens, and each of them bootstraps: what the goal is worth travels over some
# sixty steps of the target network, so that network follows quickly.
_MAZE_ILQL = ILQL(
    gamma=0.95,
    tau=0.9,
    mc_updates=600,
    cql_weight=0.05,
    polyak=0.2,
    value_start=-20.0,
    value_scale=5.0,
    value_bounds=(-20.0, 0.0),
    beta=8.0,
)
_FO_ILQL = replace(
    _FO_MC,
    algorithm=_MAZE_ILQL,
    updates=1500,
    save_every=250,
    data=DataConfig(episodes=1500, batch=48),
    evaluation=EvaluationConfig(every=250, every_episodes=100),
    learner=replace(_FO_MC.learner, optimiser=OptimiserConfig(lr=5e-4, decay="linear", warmup=20)),
)

# A step further from the goal multiplies a value by gamma, and an error of the start policy's
# frequencies multiplies it too: gamma has to be the smaller factor. The start policy's tail is cut
# off, as beta times a value is many nats.
_FO_QSFT = replace(
    _FO_ILQL,
    algorithm=QSFT(
        gamma=0.8,
        lowest=-5.0,
        value_start=-4.0,
        polyak=0.1,
        q_from="ratio",
        beta=100.0,
        top_p=0.99,
    ),
    updates=2000,
    data=DataConfig(episodes=1500, batch=24),
    learner=replace(_FO_MC.learner, optimiser=OptimiserConfig(lr=2e-4, decay="linear", warmup=20)),
)

# As published: the successful episodes. The best tenth of them is mostly the work of the optimal
# players in the data.
_FO_FILTERED = replace(
    _FO_MC,
    algorithm=FilteredBC(threshold=-100.0),
    updates=300,
    data=DataConfig(episodes=1500, batch=8),
)
_FO_ONLINE_FILTERED = replace(
    _FO_PPO,
    algorithm=OnlineFilteredBC(share=0.3),
    updates=60,
    learner=replace(_FO_FILTERED.learner, optimiser=OptimiserConfig(lr=1e-3)),
)

_FO_ONLINE_ILQL = replace(
    _FO_PPO,
    # Each pass over a round carries bootstraps one token further.
    algorithm=OnlineILQL(
        gamma=0.95,
        tau=0.9,
        mc_updates=6,
        cql_weight=0.05,
        polyak=0.2,
        value_start=-20.0,
        value_scale=5.0,
        value_bounds=(-20.0, 0.0),
        beta=8.0,
        minibatch=0,
        epochs=40,
    ),
    updates=40,
    learner=_FO_ILQL.learner,
)

_FO_TOP = replace(_FO_FILTERED, algorithm=FilteredBC(share=0.1))

_PO = replace(
    _FO,
    task="maze-po",
    updates=800,
    model=ModelConfig(context=448),
    data=DataConfig(episodes=1500, batch=2),
    evaluation=EvaluationConfig(episodes=100, start_episodes=10),
    learner=replace(_FO.learner, windows="strided"),
)

_PO_MC = replace(
    _FO_MC,
    task="maze-po",
    start="maze-po-bc",
    updates=600,
    save_every=150,
    model=_PO.model,
    data=DataConfig(episodes=1500, batch=4),
    evaluation=EvaluationConfig(episodes=100, every=150, every_episodes=50, start_episodes=50),
    learner=replace(_FO_MC.learner, windows="strided"),
)
_PO_ILQL = replace(
    _PO_MC,
    algorithm=replace(_MAZE_ILQL, mc_updates=300, beta=32.0),
    updates=1000,
    save_every=250,
    evaluation=replace(_PO_MC.evaluation, every=250),
    learner=replace(_FO_ILQL.learner, windows="strided"),
)
_PO_QSFT = replace(
    _PO_ILQL,
    algorithm=_FO_QSFT.algorithm,
    learner=replace(_FO_QSFT.learner, windows="strided"),
)
_PO_FILTERED = replace(_PO_MC, algorithm=_FO_FILTERED.algorithm)

_PO_PPO = replace(
    _FO_PPO,
    task="maze-po",
    start="maze-po-bc",
    algorithm=PPO(value_scale=10.0, value_start=-30.0, kl_coef=0.05, epochs=2, minibatch=256),
    updates=10,
    model=_PO.model,
    data=_PO.data,
    rollouts=RolloutConfig(turns=1024, min_episodes=16, max_episodes=64, max_tokens=8),
    evaluation=EvaluationConfig(episodes=100),
)

_GPT2 = ModelConfig(pretrained=True, context=128, layers=12, width=768, heads=12)


def _paper_bc(tiny: Experiment, context: int) -> Experiment:
    return replace(
        tiny,
        algorithm=BC(),
        updates=1000,
        model=replace(_GPT2, context=context),
        sampler=SamplerConfig(),
        data=DataConfig(episodes=1240, batch=4),
        learner=LearnerConfig(optimiser=OptimiserConfig(lr=1e-4)),
    )


def _paper_ppo(tiny: Experiment, context: int, start: str) -> Experiment:
    return replace(
        tiny,
        start=start,
        algorithm=PPO(kl_coef=0.1, minibatch=128, epochs=1, value_scale=10.0, value_start=-1.0),
        updates=200,
        model=replace(_GPT2, context=context),
        sampler=SamplerConfig(),
        rollouts=RolloutConfig(turns=51_200, min_episodes=512, max_episodes=512, max_tokens=8),
        learner=LearnerConfig(optimiser=OptimiserConfig(lr=1e-6)),
    )


class Size(NamedTuple):
    """What a tiny model needs for a task.

    Attributes:
        context: tokens of the longest context with its action.
        max_tokens: longest action.
        returns: lowest and highest return of an episode; no value begins above the lowest.
    """

    context: int
    max_tokens: int
    returns: tuple[float, float]


SIZES = {
    "text-nav-fo": Size(256, 12, (0.0, 1.0)),
    "text-nav-po": Size(1024, 12, (0.0, 1.0)),
    "chess": Size(128, 12, (-1.0, 1.0)),
    "endgames": Size(96, 12, (-1.0, 1.0)),
    "guess-my-city": Size(448, 32, (-20.0, 0.0)),
    "car-dealer": Size(768, 64, (0.0, 2.0)),
}
"""The tasks whose presets follow from this alone: they run, but nobody has tuned them."""


def _untuned(task: str, size: Size) -> dict[str, Experiment]:
    """Return presets of a task for each offline algorithm and PPO."""
    tiny = ModelConfig(context=size.context, vocabulary=1024, width=128, heads=4)
    optimiser = OptimiserConfig(lr=1e-3, decay="linear", warmup=20)
    bc = Experiment(
        task=task,
        algorithm=BC(observation_weight=1.0),
        updates=1000,
        model=tiny,
        data=DataConfig(episodes=5000, batch=32),
        rollouts=RolloutConfig(
            turns=1024, min_episodes=32, max_episodes=256, max_tokens=size.max_tokens
        ),
        evaluation=EvaluationConfig(start_episodes=25),
        sampler=SamplerConfig(threads=1),
        learner=LearnerConfig(optimiser=optimiser, windows="strided", threads=1),
    )
    values = replace(
        bc,
        start=f"{task}-bc",
        save_every=200,
        evaluation=EvaluationConfig(every=200, every_episodes=100),
    )
    lowest = size.returns[0]
    ilql = ILQL(
        tau=0.8,
        mc_updates=bc.updates // 4,
        polyak=0.1,
        value_start=lowest,
        value_bounds=size.returns,
        beta=4.0,
    )
    ppo = PPO(kl_coef=0.05, value_start=lowest, minibatch=128)
    return {
        f"{task}-bc": bc,
        f"{task}-filtered-bc": replace(values, algorithm=FilteredBC(share=0.1)),
        f"{task}-mc": replace(values, algorithm=MC(value_start=lowest, beta=4.0)),
        f"{task}-ilql": replace(values, algorithm=ilql),
        f"{task}-td-lambda": replace(values, algorithm=replace(ilql, lam=0.9)),
        f"{task}-ppo": replace(
            values,
            algorithm=ppo,
            updates=100,
            save_every=20,
            evaluation=EvaluationConfig(every=20, every_episodes=100),
            learner=LearnerConfig(optimiser=replace(optimiser, lr=3e-4), threads=1),
        ),
    }


def _by_lines(bc: Experiment, updates: int, ilql: ILQL, lam: float) -> dict[str, Experiment]:
    """Return presets of a task whose turns are two tokens, for each offline algorithm and PPO.

    Args:
        bc: the cloning preset that the others start from.
        updates: of the others.
        ilql: the others that learn values have what they share with it.
        lam: of TD(λ).
    """
    values = replace(
        bc,
        start=f"{bc.task}-bc",
        updates=updates,
        save_every=250,
        evaluation=replace(bc.evaluation, every=250, every_episodes=200),
        learner=replace(bc.learner, optimiser=replace(bc.learner.optimiser, lr=1e-3)),
    )
    lowest, gamma = ilql.value_start, ilql.gamma
    mc = MC(
        gamma=gamma,
        cql_weight=ilql.cql_weight,
        value_start=lowest,
        value_scale=ilql.value_scale,
        beta=ilql.beta,
    )
    # Its values are in units of the range of returns.
    qsft = QSFT(
        gamma=gamma,
        lowest=lowest,
        polyak=ilql.polyak,
        q_from="ratio",
        beta=-lowest * ilql.beta,
        top_p=0.99,
    )
    algorithms: dict[str, AnyAlgorithm] = {
        "filtered-bc": FilteredBC(share=0.1, observation_weight=1.0),
        "mc": mc,
        "ilql": ilql,
        "td-lambda": replace(ilql, lam=lam),
        "qsft": qsft,
    }
    ppo = replace(
        values,
        algorithm=PPO(kl_coef=0.05, value_start=lowest, minibatch=128),
        updates=100,
        save_every=20,
        evaluation=replace(values.evaluation, every=20),
        learner=replace(bc.learner, optimiser=replace(bc.learner.optimiser, lr=3e-4)),
    )
    return {
        f"{bc.task}-bc": bc,
        f"{bc.task}-ppo": ppo,
        **{f"{bc.task}-{name}": replace(values, algorithm=a) for name, a in algorithms.items()},
    }


_LINES = ModelConfig(context=128, width=128, heads=4, init_std=0.05, vocabulary=320, lines=700)

# Guesses and answers are one token each, so an episode is at most 13 tokens. A hundred words are
# what a model of this size learns to tell apart in minutes, from players that think a third of the
# time.
_WORDLE = Experiment(
    task="wordle",
    options={"words": 100},
    algorithm=BC(observation_weight=1.0),
    updates=4000,
    model=_LINES,
    data=DataConfig(episodes=60_000, batch=128),
    rollouts=RolloutConfig(turns=1024, min_episodes=64, max_episodes=512, max_tokens=8),
    evaluation=EvaluationConfig(episodes=500, start_episodes=500),
    sampler=SamplerConfig(threads=1),
    learner=LearnerConfig(
        optimiser=OptimiserConfig(lr=2e-3, betas=(0.9, 0.999), decay="linear", warmup=50),
        threads=1,
    ),
)

_TWENTY_QUESTIONS = replace(
    _WORDLE,
    task="twenty-questions",
    options={"things": 40},
    updates=3000,
    model=replace(_LINES, context=384, lines=1100),
    data=DataConfig(episodes=40_000, batch=32),
    rollouts=replace(_WORDLE.rollouts, max_tokens=24),
)

PRESETS: dict[str, Experiment] = {
    "maze-fo-bc": _FO,
    "maze-fo-ppo": _FO_PPO,
    "maze-fo-filtered-bc": _FO_FILTERED,
    "maze-fo-top10-bc": _FO_TOP,
    "maze-fo-online-filtered-bc": _FO_ONLINE_FILTERED,
    "maze-fo-online-ilql": _FO_ONLINE_ILQL,
    "maze-fo-mc": _FO_MC,
    "maze-fo-ilql": _FO_ILQL,
    "maze-fo-qsft": _FO_QSFT,
    "maze-po-bc": _PO,
    "maze-po-filtered-bc": _PO_FILTERED,
    "maze-po-mc": _PO_MC,
    "maze-po-ilql": _PO_ILQL,
    "maze-po-qsft": _PO_QSFT,
    "maze-po-ppo": _PO_PPO,
    "maze-fo-bc-gpt2": _paper_bc(_FO, 128),
    "maze-fo-ppo-gpt2": _paper_ppo(_FO_PPO, 128, "maze-fo-bc-gpt2"),
    "maze-po-bc-gpt2": _paper_bc(_PO, 512),
    "maze-po-ppo-gpt2": _paper_ppo(_PO_PPO, 512, "maze-po-bc-gpt2"),
}
PRESETS |= _by_lines(
    _WORDLE,
    updates=1000,
    # An episode has six turns of one token: V needs no slow copy.
    ilql=ILQL(
        gamma=0.95,
        cql_weight=0.05,
        tau=0.8,
        polyak=0.02,
        target_v=False,
        value_start=-6.0,
        beta=8.0,
    ),
    lam=0.5,
)
PRESETS |= _by_lines(
    _TWENTY_QUESTIONS,
    updates=500,
    # No win in twenty questions is worth -12.8 at this discount.
    ilql=ILQL(
        gamma=0.95,
        cql_weight=0.05,
        tau=0.8,
        polyak=0.02,
        target_v=False,
        value_start=-12.9,
        value_scale=5.0,
        beta=2.0,
    ),
    lam=0.9,
)
for _task, _size in SIZES.items():
    PRESETS |= _untuned(_task, _size)


def preset(name: str) -> Experiment:
    """Return a preset.

    Raises:
        UsageError: for an unknown name, with the nearest known one.
    """
    if name not in PRESETS:
        raise unknown("preset", name, PRESETS)
    return PRESETS[name]
