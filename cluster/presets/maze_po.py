"""Presets of the partially observed maze, with data of the player `mixture-whole`, on which they
were measured."""

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
    "maze-po-bc": Preset(
        Experiment(
            task="maze-po",
            algorithm=BC(observation_weight=1.0),
            updates=800,
            model=ModelConfig(context=448),
            data=DataConfig(player="mixture-whole", batch=2),
            rollouts=RolloutConfig(max_tokens=8),
            evaluation=EvaluationConfig(episodes=100, start_episodes=10),
            sampler=SamplerConfig(threads=1),
            learner=LearnerConfig(
                threads=1,
                optimiser=OptimiserConfig(lr=0.001, decay="linear"),
                micro_tokens=8192,
                windows="strided",
            ),
        ),
        measured=None,
    ),
    "maze-po-filtered-bc": Preset(
        Experiment(
            task="maze-po",
            algorithm=FilteredBC(threshold=-100.0),
            updates=600,
            start="maze-po-bc",
            save_every=150,
            model=ModelConfig(context=448),
            data=DataConfig(player="mixture-whole", batch=4),
            rollouts=RolloutConfig(max_tokens=8),
            evaluation=EvaluationConfig(
                episodes=100, start_episodes=50, every=150, every_episodes=50
            ),
            sampler=SamplerConfig(threads=1),
            learner=LearnerConfig(
                threads=1,
                optimiser=OptimiserConfig(lr=0.001, warmup=20, decay="linear"),
                micro_tokens=65_536,
                windows="strided",
            ),
        ),
        measured=Measured("offline-maze-po", (-63.18, -58.89), 6.0, "1da3b91"),
    ),
    "maze-po-mc": Preset(
        Experiment(
            task="maze-po",
            algorithm=MC(
                gamma=0.95,
                cql_weight=0.05,
                value_start=-20.0,
                value_scale=5.0,
                endless=True,
                beta=8.0,
            ),
            updates=600,
            start="maze-po-bc",
            save_every=150,
            model=ModelConfig(context=448),
            data=DataConfig(player="mixture-whole", batch=4),
            rollouts=RolloutConfig(max_tokens=8),
            evaluation=EvaluationConfig(
                episodes=100, start_episodes=50, every=150, every_episodes=50
            ),
            sampler=SamplerConfig(threads=1),
            learner=LearnerConfig(
                threads=1,
                optimiser=OptimiserConfig(lr=0.001, warmup=20, decay="linear"),
                micro_tokens=65_536,
                windows="strided",
            ),
        ),
        measured=Measured("offline-maze-po", (-65.41, -81.57), 8.7, "1da3b91"),
    ),
    "maze-po-ilql": Preset(
        Experiment(
            task="maze-po",
            # beta was chosen on seed 3, on other episodes than the scored ones.
            algorithm=ILQL(
                gamma=0.95,
                mc_updates=300,
                tau=0.9,
                cql_weight=0.05,
                polyak=0.2,
                value_start=-20.0,
                value_scale=5.0,
                value_bounds=(-20.0, 0.0),
                beta=32.0,
            ),
            updates=1000,
            start="maze-po-bc",
            save_every=250,
            model=ModelConfig(context=448),
            data=DataConfig(player="mixture-whole", batch=4),
            rollouts=RolloutConfig(max_tokens=8),
            evaluation=EvaluationConfig(
                episodes=100, start_episodes=50, every=250, every_episodes=50
            ),
            sampler=SamplerConfig(threads=1),
            learner=LearnerConfig(
                threads=1,
                optimiser=OptimiserConfig(lr=0.0005, warmup=20, decay="linear"),
                micro_tokens=65_536,
                windows="strided",
            ),
        ),
        measured=Measured("offline-maze-po", (-60.20, -71.45), 15.3, "1da3b91"),
    ),
    "maze-po-qsft": Preset(
        Experiment(
            task="maze-po",
            algorithm=QSFT(
                gamma=0.8,
                lowest=-5.0,
                value_start=-4.0,
                polyak=0.1,
                q_from="ratio",
                beta=100.0,
                top_p=0.99,
            ),
            updates=1000,
            start="maze-po-bc",
            save_every=250,
            model=ModelConfig(context=448),
            data=DataConfig(player="mixture-whole", batch=4),
            rollouts=RolloutConfig(max_tokens=8),
            evaluation=EvaluationConfig(
                episodes=100, start_episodes=50, every=250, every_episodes=50
            ),
            sampler=SamplerConfig(threads=1),
            learner=LearnerConfig(
                threads=1,
                optimiser=OptimiserConfig(lr=0.0002, warmup=20, decay="linear"),
                micro_tokens=65_536,
                windows="strided",
            ),
        ),
        measured=Measured("offline-maze-po-qsft", (-100.21,), 28.5, "1da3b91"),
    ),
    "maze-po-ppo": Preset(
        Experiment(
            task="maze-po",
            algorithm=PPO(value_scale=10.0, value_start=-30.0, kl_coef=0.05, epochs=2),
            updates=10,
            start="maze-po-bc",
            save_every=6,
            model=ModelConfig(context=448),
            data=DataConfig(player="mixture-whole", batch=2),
            rollouts=RolloutConfig(turns=1024, min_episodes=16, max_episodes=64, max_tokens=8),
            evaluation=EvaluationConfig(episodes=100),
            sampler=SamplerConfig(threads=1),
            learner=LearnerConfig(
                threads=1,
                optimiser=OptimiserConfig(lr=0.0005, head_lr=0.003, warmup=20, decay="linear"),
                micro_tokens=8192,
            ),
        ),
        measured=None,
    ),
    "maze-po-bc-gpt2": Preset(
        Experiment(
            task="maze-po",
            algorithm=BC(),
            updates=1000,
            model=ModelConfig(pretrained=True, layers=12, width=768, heads=12),
            data=DataConfig(player="mixture-whole", episodes=1240, batch=4),
            rollouts=RolloutConfig(max_tokens=8),
            evaluation=EvaluationConfig(episodes=100, start_episodes=10),
        ),
        measured=None,
    ),
    "maze-po-ppo-gpt2": Preset(
        Experiment(
            task="maze-po",
            algorithm=PPO(value_scale=10.0, value_start=-1.0, kl_coef=0.1, epochs=1, minibatch=128),
            updates=200,
            start="maze-po-bc-gpt2",
            save_every=6,
            model=ModelConfig(pretrained=True, layers=12, width=768, heads=12),
            data=DataConfig(player="mixture-whole", batch=2),
            rollouts=RolloutConfig(turns=51_200, min_episodes=512, max_episodes=512, max_tokens=8),
            evaluation=EvaluationConfig(episodes=100),
            learner=LearnerConfig(optimiser=OptimiserConfig(lr=1e-06)),
        ),
        measured=None,
    ),
}
