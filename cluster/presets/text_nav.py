"""Presets of Text-Nav, fully and partially observed."""

from actors.config import SamplerConfig
from cluster.config import DataConfig, EvaluationConfig, RolloutConfig
from cluster.experiment import Experiment
from cluster.presets.preset import Preset
from learners.algorithms.offline.bc import BC
from learners.algorithms.offline.filtered_bc import FilteredBC
from learners.algorithms.offline.ilql import ILQL
from learners.algorithms.online.ppo import PPO
from learners.checkpoints.initial import ModelConfig
from learners.config import LearnerConfig, OptimiserConfig

PRESETS: dict[str, Preset] = {
    "text-nav-fo-bc": Preset(
        Experiment(
            task="text-nav-fo",
            algorithm=BC(observation_weight=1.0),
            updates=1000,
            model=ModelConfig(context=256, width=128, heads=4, vocabulary=1024),
            data=DataConfig(episodes=5000, batch=32),
            rollouts=RolloutConfig(turns=1024, min_episodes=32, max_tokens=12),
            evaluation=EvaluationConfig(start_episodes=25),
            sampler=SamplerConfig(threads=1),
            learner=LearnerConfig(
                threads=1,
                optimiser=OptimiserConfig(lr=0.001, warmup=20, decay="linear"),
                windows="strided",
            ),
        ),
        measured=None,
    ),
    "text-nav-fo-filtered-bc": Preset(
        Experiment(
            task="text-nav-fo",
            algorithm=FilteredBC(),
            updates=1000,
            start="text-nav-fo-bc",
            save_every=200,
            model=ModelConfig(context=256, width=128, heads=4, vocabulary=1024),
            data=DataConfig(episodes=5000, batch=32),
            rollouts=RolloutConfig(turns=1024, min_episodes=32, max_tokens=12),
            evaluation=EvaluationConfig(every=200, every_episodes=100),
            sampler=SamplerConfig(threads=1),
            learner=LearnerConfig(
                threads=1,
                optimiser=OptimiserConfig(lr=0.001, warmup=20, decay="linear"),
                windows="strided",
            ),
        ),
        measured=None,
    ),
    "text-nav-fo-ilql": Preset(
        Experiment(
            task="text-nav-fo",
            algorithm=ILQL(mc_updates=250, tau=0.8, polyak=0.1, value_bounds=(0.0, 1.0)),
            updates=1000,
            start="text-nav-fo-bc",
            save_every=200,
            model=ModelConfig(context=256, width=128, heads=4, vocabulary=1024),
            data=DataConfig(episodes=5000, batch=32),
            rollouts=RolloutConfig(turns=1024, min_episodes=32, max_tokens=12),
            evaluation=EvaluationConfig(every=200, every_episodes=100),
            sampler=SamplerConfig(threads=1),
            learner=LearnerConfig(
                threads=1,
                optimiser=OptimiserConfig(lr=0.001, warmup=20, decay="linear"),
                windows="strided",
            ),
        ),
        measured=None,
    ),
    "text-nav-fo-ppo": Preset(
        Experiment(
            task="text-nav-fo",
            algorithm=PPO(kl_coef=0.05, minibatch=128),
            start="text-nav-fo-bc",
            save_every=20,
            model=ModelConfig(context=256, width=128, heads=4, vocabulary=1024),
            data=DataConfig(episodes=5000, batch=32),
            rollouts=RolloutConfig(turns=1024, min_episodes=32, max_tokens=12),
            evaluation=EvaluationConfig(every=20, every_episodes=100),
            sampler=SamplerConfig(threads=1),
            learner=LearnerConfig(
                threads=1, optimiser=OptimiserConfig(lr=0.0003, warmup=20, decay="linear")
            ),
        ),
        measured=None,
    ),
    "text-nav-po-bc": Preset(
        Experiment(
            task="text-nav-po",
            algorithm=BC(observation_weight=1.0),
            updates=1000,
            model=ModelConfig(context=1024, width=128, heads=4, vocabulary=1024),
            data=DataConfig(episodes=5000, batch=32),
            rollouts=RolloutConfig(turns=1024, min_episodes=32, max_tokens=12),
            evaluation=EvaluationConfig(start_episodes=25),
            sampler=SamplerConfig(threads=1),
            learner=LearnerConfig(
                threads=1,
                optimiser=OptimiserConfig(lr=0.001, warmup=20, decay="linear"),
                windows="strided",
            ),
        ),
        measured=None,
    ),
    "text-nav-po-filtered-bc": Preset(
        Experiment(
            task="text-nav-po",
            algorithm=FilteredBC(),
            updates=1000,
            start="text-nav-po-bc",
            save_every=200,
            model=ModelConfig(context=1024, width=128, heads=4, vocabulary=1024),
            data=DataConfig(episodes=5000, batch=32),
            rollouts=RolloutConfig(turns=1024, min_episodes=32, max_tokens=12),
            evaluation=EvaluationConfig(every=200, every_episodes=100),
            sampler=SamplerConfig(threads=1),
            learner=LearnerConfig(
                threads=1,
                optimiser=OptimiserConfig(lr=0.001, warmup=20, decay="linear"),
                windows="strided",
            ),
        ),
        measured=None,
    ),
    "text-nav-po-ilql": Preset(
        Experiment(
            task="text-nav-po",
            algorithm=ILQL(mc_updates=250, tau=0.8, polyak=0.1, value_bounds=(0.0, 1.0)),
            updates=1000,
            start="text-nav-po-bc",
            save_every=200,
            model=ModelConfig(context=1024, width=128, heads=4, vocabulary=1024),
            data=DataConfig(episodes=5000, batch=32),
            rollouts=RolloutConfig(turns=1024, min_episodes=32, max_tokens=12),
            evaluation=EvaluationConfig(every=200, every_episodes=100),
            sampler=SamplerConfig(threads=1),
            learner=LearnerConfig(
                threads=1,
                optimiser=OptimiserConfig(lr=0.001, warmup=20, decay="linear"),
                windows="strided",
            ),
        ),
        measured=None,
    ),
    "text-nav-po-ppo": Preset(
        Experiment(
            task="text-nav-po",
            algorithm=PPO(kl_coef=0.05, minibatch=128),
            start="text-nav-po-bc",
            save_every=20,
            model=ModelConfig(context=1024, width=128, heads=4, vocabulary=1024),
            data=DataConfig(episodes=5000, batch=32),
            rollouts=RolloutConfig(turns=1024, min_episodes=32, max_tokens=12),
            evaluation=EvaluationConfig(every=20, every_episodes=100),
            sampler=SamplerConfig(threads=1),
            learner=LearnerConfig(
                threads=1, optimiser=OptimiserConfig(lr=0.0003, warmup=20, decay="linear")
            ),
        ),
        measured=None,
    ),
}
