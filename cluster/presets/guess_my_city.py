"""Presets of Guess My City."""

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
    "guess-my-city-bc": Preset(
        Experiment(
            task="guess-my-city",
            algorithm=BC(observation_weight=1.0),
            updates=1000,
            model=ModelConfig(context=448, width=128, heads=4, vocabulary=1024),
            data=DataConfig(episodes=5000, batch=32),
            rollouts=RolloutConfig(turns=1024, min_episodes=32, max_tokens=32),
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
    "guess-my-city-filtered-bc": Preset(
        Experiment(
            task="guess-my-city",
            algorithm=FilteredBC(),
            updates=1000,
            start="guess-my-city-bc",
            save_every=200,
            model=ModelConfig(context=448, width=128, heads=4, vocabulary=1024),
            data=DataConfig(episodes=5000, batch=32),
            rollouts=RolloutConfig(turns=1024, min_episodes=32, max_tokens=32),
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
    "guess-my-city-ilql": Preset(
        Experiment(
            task="guess-my-city",
            algorithm=ILQL(
                mc_updates=250, tau=0.8, polyak=0.1, value_start=-20.0, value_bounds=(-20.0, 0.0)
            ),
            updates=1000,
            start="guess-my-city-bc",
            save_every=200,
            model=ModelConfig(context=448, width=128, heads=4, vocabulary=1024),
            data=DataConfig(episodes=5000, batch=32),
            rollouts=RolloutConfig(turns=1024, min_episodes=32, max_tokens=32),
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
    "guess-my-city-ppo": Preset(
        Experiment(
            task="guess-my-city",
            algorithm=PPO(value_start=-20.0, kl_coef=0.05, minibatch=128),
            start="guess-my-city-bc",
            save_every=20,
            model=ModelConfig(context=448, width=128, heads=4, vocabulary=1024),
            data=DataConfig(episodes=5000, batch=32),
            rollouts=RolloutConfig(turns=1024, min_episodes=32, max_tokens=32),
            evaluation=EvaluationConfig(every=20, every_episodes=100),
            sampler=SamplerConfig(threads=1),
            learner=LearnerConfig(
                threads=1, optimiser=OptimiserConfig(lr=0.0003, warmup=20, decay="linear")
            ),
        ),
        measured=None,
    ),
}
