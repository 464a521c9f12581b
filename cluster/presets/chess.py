"""Presets of Chess and Chess Endgames."""

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
    "chess-bc": Preset(
        Experiment(
            task="chess",
            algorithm=BC(observation_weight=1.0),
            updates=1000,
            model=ModelConfig(context=128, width=128, heads=4, vocabulary=1024),
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
    "chess-filtered-bc": Preset(
        Experiment(
            task="chess",
            algorithm=FilteredBC(),
            updates=1000,
            start="chess-bc",
            save_every=200,
            model=ModelConfig(context=128, width=128, heads=4, vocabulary=1024),
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
    "chess-ilql": Preset(
        Experiment(
            task="chess",
            algorithm=ILQL(
                mc_updates=250, tau=0.8, polyak=0.1, value_start=-1.0, value_bounds=(-1.0, 1.0)
            ),
            updates=1000,
            start="chess-bc",
            save_every=200,
            model=ModelConfig(context=128, width=128, heads=4, vocabulary=1024),
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
    "chess-ppo": Preset(
        Experiment(
            task="chess",
            algorithm=PPO(value_start=-1.0, kl_coef=0.05, minibatch=128),
            start="chess-bc",
            save_every=20,
            model=ModelConfig(context=128, width=128, heads=4, vocabulary=1024),
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
    "endgames-bc": Preset(
        Experiment(
            task="endgames",
            algorithm=BC(observation_weight=1.0),
            updates=1000,
            model=ModelConfig(context=96, width=128, heads=4, vocabulary=1024),
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
    "endgames-filtered-bc": Preset(
        Experiment(
            task="endgames",
            algorithm=FilteredBC(),
            updates=1000,
            start="endgames-bc",
            save_every=200,
            model=ModelConfig(context=96, width=128, heads=4, vocabulary=1024),
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
    "endgames-ilql": Preset(
        Experiment(
            task="endgames",
            algorithm=ILQL(
                mc_updates=250, tau=0.8, polyak=0.1, value_start=-1.0, value_bounds=(-1.0, 1.0)
            ),
            updates=1000,
            start="endgames-bc",
            save_every=200,
            model=ModelConfig(context=96, width=128, heads=4, vocabulary=1024),
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
    "endgames-ppo": Preset(
        Experiment(
            task="endgames",
            algorithm=PPO(value_start=-1.0, kl_coef=0.05, minibatch=128),
            start="endgames-bc",
            save_every=20,
            model=ModelConfig(context=96, width=128, heads=4, vocabulary=1024),
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
