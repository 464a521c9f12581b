"""Presets of Twenty Questions."""

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
    "twenty-questions-bc": Preset(
        Experiment(
            task="twenty-questions",
            algorithm=BC(observation_weight=1.0),
            options={"things": 40},
            updates=3000,
            model=ModelConfig(
                context=384, width=128, heads=4, init_std=0.05, vocabulary=320, lines=1100
            ),
            data=DataConfig(episodes=40_000, batch=32),
            rollouts=RolloutConfig(turns=1024, max_episodes=512, max_tokens=24),
            evaluation=EvaluationConfig(episodes=500, start_episodes=500),
            sampler=SamplerConfig(threads=1),
            learner=LearnerConfig(
                threads=1,
                optimiser=OptimiserConfig(lr=0.002, betas=(0.9, 0.999), warmup=50, decay="linear"),
            ),
        ),
        measured=None,
    ),
    "twenty-questions-ppo": Preset(
        Experiment(
            task="twenty-questions",
            algorithm=PPO(value_start=-12.9, kl_coef=0.05, minibatch=128),
            options={"things": 40},
            start="twenty-questions-bc",
            save_every=20,
            model=ModelConfig(
                context=384, width=128, heads=4, init_std=0.05, vocabulary=320, lines=1100
            ),
            data=DataConfig(episodes=40_000, batch=32),
            rollouts=RolloutConfig(turns=1024, max_episodes=512, max_tokens=24),
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
    "twenty-questions-filtered-bc": Preset(
        Experiment(
            task="twenty-questions",
            algorithm=FilteredBC(observation_weight=1.0),
            options={"things": 40},
            updates=500,
            start="twenty-questions-bc",
            save_every=250,
            model=ModelConfig(
                context=384, width=128, heads=4, init_std=0.05, vocabulary=320, lines=1100
            ),
            data=DataConfig(episodes=40_000, batch=32),
            rollouts=RolloutConfig(turns=1024, max_episodes=512, max_tokens=24),
            evaluation=EvaluationConfig(
                episodes=500, start_episodes=500, every=250, every_episodes=200
            ),
            sampler=SamplerConfig(threads=1),
            learner=LearnerConfig(
                threads=1,
                optimiser=OptimiserConfig(lr=0.001, betas=(0.9, 0.999), warmup=50, decay="linear"),
            ),
        ),
        measured=Measured("offline-twenty-questions", (-13.11, -13.42, -13.43), 12.8, "c1bd1ea"),
    ),
    "twenty-questions-mc": Preset(
        Experiment(
            task="twenty-questions",
            # At this discount, an episode without a win in twenty questions returns -12.8.
            algorithm=MC(gamma=0.95, cql_weight=0.05, value_start=-12.9, value_scale=5.0, beta=2.0),
            options={"things": 40},
            updates=500,
            start="twenty-questions-bc",
            save_every=250,
            model=ModelConfig(
                context=384, width=128, heads=4, init_std=0.05, vocabulary=320, lines=1100
            ),
            data=DataConfig(episodes=40_000, batch=32),
            rollouts=RolloutConfig(turns=1024, max_episodes=512, max_tokens=24),
            evaluation=EvaluationConfig(
                episodes=500, start_episodes=500, every=250, every_episodes=200
            ),
            sampler=SamplerConfig(threads=1),
            learner=LearnerConfig(
                threads=1,
                optimiser=OptimiserConfig(lr=0.001, betas=(0.9, 0.999), warmup=50, decay="linear"),
            ),
        ),
        measured=Measured("offline-twenty-questions", (-14.89, -15.29, -15.54), 4.6, "c1bd1ea"),
    ),
    "twenty-questions-ilql": Preset(
        Experiment(
            task="twenty-questions",
            algorithm=ILQL(
                gamma=0.95,
                tau=0.8,
                cql_weight=0.05,
                polyak=0.02,
                target_v=False,
                value_start=-12.9,
                value_scale=5.0,
                beta=2.0,
            ),
            options={"things": 40},
            updates=500,
            start="twenty-questions-bc",
            save_every=250,
            model=ModelConfig(
                context=384, width=128, heads=4, init_std=0.05, vocabulary=320, lines=1100
            ),
            data=DataConfig(episodes=40_000, batch=32),
            rollouts=RolloutConfig(turns=1024, max_episodes=512, max_tokens=24),
            evaluation=EvaluationConfig(
                episodes=500, start_episodes=500, every=250, every_episodes=200
            ),
            sampler=SamplerConfig(threads=1),
            learner=LearnerConfig(
                threads=1,
                optimiser=OptimiserConfig(lr=0.001, betas=(0.9, 0.999), warmup=50, decay="linear"),
            ),
        ),
        measured=Measured("offline-twenty-questions", (-13.23, -13.27, -13.28), 4.3, "c1bd1ea"),
    ),
    "twenty-questions-td-lambda": Preset(
        Experiment(
            task="twenty-questions",
            algorithm=ILQL(
                gamma=0.95,
                lam=0.9,
                tau=0.8,
                cql_weight=0.05,
                polyak=0.02,
                target_v=False,
                value_start=-12.9,
                value_scale=5.0,
                beta=2.0,
            ),
            options={"things": 40},
            updates=500,
            start="twenty-questions-bc",
            save_every=250,
            model=ModelConfig(
                context=384, width=128, heads=4, init_std=0.05, vocabulary=320, lines=1100
            ),
            data=DataConfig(episodes=40_000, batch=32),
            rollouts=RolloutConfig(turns=1024, max_episodes=512, max_tokens=24),
            evaluation=EvaluationConfig(
                episodes=500, start_episodes=500, every=250, every_episodes=200
            ),
            sampler=SamplerConfig(threads=1),
            learner=LearnerConfig(
                threads=1,
                optimiser=OptimiserConfig(lr=0.001, betas=(0.9, 0.999), warmup=50, decay="linear"),
            ),
        ),
        measured=Measured("offline-twenty-questions", (-14.94, -15.06, -15.40), 4.4, "c1bd1ea"),
    ),
    "twenty-questions-qsft": Preset(
        Experiment(
            task="twenty-questions",
            algorithm=QSFT(
                gamma=0.95, lowest=-12.9, polyak=0.02, q_from="ratio", beta=25.8, top_p=0.99
            ),
            options={"things": 40},
            updates=500,
            start="twenty-questions-bc",
            save_every=250,
            model=ModelConfig(
                context=384, width=128, heads=4, init_std=0.05, vocabulary=320, lines=1100
            ),
            data=DataConfig(episodes=40_000, batch=32),
            rollouts=RolloutConfig(turns=1024, max_episodes=512, max_tokens=24),
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
