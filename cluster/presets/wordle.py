"""Presets of Wordle."""

from actors.config import SamplerConfig
from cluster.config import DataConfig, EvaluationConfig, RolloutConfig
from cluster.experiment import Experiment
from cluster.presets.preset import Measured, Preset
from learners.algorithms.offline.bc import BC
from learners.algorithms.offline.filtered_bc import FilteredBC
from learners.algorithms.offline.ilql import ILQL
from learners.algorithms.offline.mc import MC
from learners.algorithms.offline.qsft import QSFT
from learners.algorithms.online.ppo import PPO
from learners.checkpoints.initial import ModelConfig
from learners.config import LearnerConfig, OptimiserConfig

PRESETS: dict[str, Preset] = {
    "wordle-bc": Preset(
        Experiment(
            task="wordle",
            algorithm=BC(observation_weight=1.0),
            # A model of this size learns to distinguish a hundred words in minutes, from players
            # that choose well a third of the time.
            options={"words": 100},
            updates=4000,
            # Guesses and answers are one token each: an episode has at most 13 tokens.
            model=ModelConfig(
                context=128, width=128, heads=4, init_std=0.05, vocabulary=320, lines=700
            ),
            data=DataConfig(episodes=60_000, batch=128),
            rollouts=RolloutConfig(turns=1024, max_episodes=512, max_tokens=8),
            evaluation=EvaluationConfig(episodes=500, start_episodes=500),
            sampler=SamplerConfig(threads=1),
            learner=LearnerConfig(
                threads=1,
                optimiser=OptimiserConfig(lr=0.002, betas=(0.9, 0.999), warmup=50, decay="linear"),
            ),
        ),
        measured=None,
    ),
    "wordle-ppo": Preset(
        Experiment(
            task="wordle",
            algorithm=PPO(value_start=-6.0, kl_coef=0.05, minibatch=128),
            options={"words": 100},
            start="wordle-bc",
            save_every=20,
            model=ModelConfig(
                context=128, width=128, heads=4, init_std=0.05, vocabulary=320, lines=700
            ),
            data=DataConfig(episodes=60_000, batch=128),
            rollouts=RolloutConfig(turns=1024, max_episodes=512, max_tokens=8),
            evaluation=EvaluationConfig(
                episodes=500, start_episodes=500, every=20, every_episodes=200
            ),
            sampler=SamplerConfig(threads=1),
            learner=LearnerConfig(
                threads=1,
                optimiser=OptimiserConfig(lr=0.0003, betas=(0.9, 0.999), warmup=50, decay="linear"),
            ),
        ),
        measured=None,
    ),
    "wordle-filtered-bc": Preset(
        Experiment(
            task="wordle",
            algorithm=FilteredBC(observation_weight=1.0),
            options={"words": 100},
            updates=1000,
            start="wordle-bc",
            save_every=250,
            model=ModelConfig(
                context=128, width=128, heads=4, init_std=0.05, vocabulary=320, lines=700
            ),
            data=DataConfig(episodes=60_000, batch=128),
            rollouts=RolloutConfig(turns=1024, max_episodes=512, max_tokens=8),
            evaluation=EvaluationConfig(
                episodes=500, start_episodes=500, every=250, every_episodes=200
            ),
            sampler=SamplerConfig(threads=1),
            learner=LearnerConfig(
                threads=1,
                optimiser=OptimiserConfig(lr=0.001, betas=(0.9, 0.999), warmup=50, decay="linear"),
            ),
        ),
        measured=Measured("offline-wordle", (-2.26, -2.35, -2.31), 19.4, "d87b58b"),
    ),
    "wordle-mc": Preset(
        Experiment(
            task="wordle",
            algorithm=MC(gamma=0.95, cql_weight=0.05, value_start=-6.0, beta=8.0),
            options={"words": 100},
            updates=1000,
            start="wordle-bc",
            save_every=250,
            model=ModelConfig(
                context=128, width=128, heads=4, init_std=0.05, vocabulary=320, lines=700
            ),
            data=DataConfig(episodes=60_000, batch=128),
            rollouts=RolloutConfig(turns=1024, max_episodes=512, max_tokens=8),
            evaluation=EvaluationConfig(
                episodes=500, start_episodes=500, every=250, every_episodes=200
            ),
            sampler=SamplerConfig(threads=1),
            learner=LearnerConfig(
                threads=1,
                optimiser=OptimiserConfig(lr=0.001, betas=(0.9, 0.999), warmup=50, decay="linear"),
            ),
        ),
        measured=Measured("offline-wordle", (-3.90, -3.71, -3.61), 4.8, "d87b58b"),
    ),
    "wordle-ilql": Preset(
        Experiment(
            task="wordle",
            # An episode has six turns of one token, so V does not need a slow copy.
            algorithm=ILQL(
                gamma=0.95,
                tau=0.8,
                cql_weight=0.05,
                polyak=0.02,
                target_v=False,
                value_start=-6.0,
                beta=8.0,
            ),
            options={"words": 100},
            updates=1000,
            start="wordle-bc",
            save_every=250,
            model=ModelConfig(
                context=128, width=128, heads=4, init_std=0.05, vocabulary=320, lines=700
            ),
            data=DataConfig(episodes=60_000, batch=128),
            rollouts=RolloutConfig(turns=1024, max_episodes=512, max_tokens=8),
            evaluation=EvaluationConfig(
                episodes=500, start_episodes=500, every=250, every_episodes=200
            ),
            sampler=SamplerConfig(threads=1),
            learner=LearnerConfig(
                threads=1,
                optimiser=OptimiserConfig(lr=0.001, betas=(0.9, 0.999), warmup=50, decay="linear"),
            ),
        ),
        measured=Measured("offline-wordle", (-2.23, -2.29, -2.13), 5.8, "d87b58b"),
    ),
    "wordle-td-lambda": Preset(
        Experiment(
            task="wordle",
            algorithm=ILQL(
                gamma=0.95,
                lam=0.5,
                tau=0.8,
                cql_weight=0.05,
                polyak=0.02,
                target_v=False,
                value_start=-6.0,
                beta=8.0,
            ),
            options={"words": 100},
            updates=1000,
            start="wordle-bc",
            save_every=250,
            model=ModelConfig(
                context=128, width=128, heads=4, init_std=0.05, vocabulary=320, lines=700
            ),
            data=DataConfig(episodes=60_000, batch=128),
            rollouts=RolloutConfig(turns=1024, max_episodes=512, max_tokens=8),
            evaluation=EvaluationConfig(
                episodes=500, start_episodes=500, every=250, every_episodes=200
            ),
            sampler=SamplerConfig(threads=1),
            learner=LearnerConfig(
                threads=1,
                optimiser=OptimiserConfig(lr=0.001, betas=(0.9, 0.999), warmup=50, decay="linear"),
            ),
        ),
        measured=Measured("offline-wordle", (-4.05, -3.04, -2.62), 5.9, "d87b58b"),
    ),
    "wordle-qsft": Preset(
        Experiment(
            task="wordle",
            algorithm=QSFT(
                gamma=0.95, lowest=-6.0, polyak=0.02, q_from="ratio", beta=48.0, top_p=0.99
            ),
            options={"words": 100},
            updates=1000,
            start="wordle-bc",
            save_every=250,
            model=ModelConfig(
                context=128, width=128, heads=4, init_std=0.05, vocabulary=320, lines=700
            ),
            data=DataConfig(episodes=60_000, batch=128),
            rollouts=RolloutConfig(turns=1024, max_episodes=512, max_tokens=8),
            evaluation=EvaluationConfig(
                episodes=500, start_episodes=500, every=250, every_episodes=200
            ),
            sampler=SamplerConfig(threads=1),
            learner=LearnerConfig(
                threads=1,
                optimiser=OptimiserConfig(lr=0.001, betas=(0.9, 0.999), warmup=50, decay="linear"),
            ),
        ),
        measured=None,
    ),
}
