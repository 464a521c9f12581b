"""Presets of the fully observed maze, with data of the player `mixture-whole`, on which they were
measured."""

from actors.config import SamplerConfig
from cluster.config import DataConfig, EvaluationConfig, RolloutConfig
from cluster.experiment import Experiment
from cluster.presets.preset import Measured, Preset
from learners.algorithms.offline.bc import BC
from learners.algorithms.offline.filtered_bc import FilteredBC, OnlineFilteredBC
from learners.algorithms.offline.ilql import ILQL, OnlineILQL
from learners.algorithms.offline.mc import MC
from learners.algorithms.offline.qsft import QSFT
from learners.algorithms.offline.rwr import RWR
from learners.algorithms.offline.weighted_iql import WeightedIQL
from learners.algorithms.online.ppo import PPO
from learners.checkpoints.initial import ModelConfig
from learners.config import LearnerConfig, OptimiserConfig

PRESETS: dict[str, Preset] = {
    "maze-fo-bc": Preset(
        Experiment(
            task="maze-fo",
            algorithm=BC(observation_weight=1.0),
            updates=200,
            model=ModelConfig(context=64),
            data=DataConfig(player="mixture-whole", batch=8),
            rollouts=RolloutConfig(max_tokens=8),
            evaluation=EvaluationConfig(start_episodes=25),
            # A step of such a small model takes less time than two threads need to synchronise.
            sampler=SamplerConfig(threads=1),
            learner=LearnerConfig(
                threads=1, optimiser=OptimiserConfig(lr=0.001, decay="linear"), micro_tokens=8192
            ),
        ),
        measured=None,
    ),
    "maze-fo-ppo": Preset(
        Experiment(
            task="maze-fo",
            # The KL weight keeps rare tokens rare: with a tenth of it, illegal moves lower the
            # return in the middle of the run. With the warm-up the first round takes many small
            # steps before it reaches its KL bound.
            algorithm=PPO(value_scale=10.0, value_start=-30.0, kl_coef=0.05, minibatch=512),
            updates=24,
            start="maze-fo-bc",
            # Twice the data and three times the step give a clone as good as the data.
            start_fields={"data.batch": 16, "learner.optimiser.lr": 0.003},
            save_every=6,
            model=ModelConfig(context=64),
            data=DataConfig(player="mixture-whole", batch=8),
            rollouts=RolloutConfig(max_tokens=8),
            sampler=SamplerConfig(threads=1),
            learner=LearnerConfig(
                threads=1,
                optimiser=OptimiserConfig(lr=0.0005, head_lr=0.003, warmup=20, decay="linear"),
                micro_tokens=8192,
            ),
        ),
        measured=Measured("demo", (-6.92, -9.71, -7.01), 4.8, "002885a"),
    ),
    "maze-fo-filtered-bc": Preset(
        Experiment(
            task="maze-fo",
            # As published: the successful episodes.
            algorithm=FilteredBC(threshold=-100.0),
            updates=300,
            start="maze-fo-bc",
            save_every=100,
            model=ModelConfig(context=64),
            data=DataConfig(player="mixture-whole", batch=8),
            rollouts=RolloutConfig(max_tokens=8),
            evaluation=EvaluationConfig(every=100, every_episodes=100),
            sampler=SamplerConfig(threads=1),
            learner=LearnerConfig(
                threads=1,
                optimiser=OptimiserConfig(lr=0.001, warmup=20, decay="linear"),
                micro_tokens=65_536,
            ),
        ),
        measured=Measured("offline-maze-fo", (-49.16, -48.15, -46.28), 2.3, "f430df7"),
    ),
    "maze-fo-top10-bc": Preset(
        Experiment(
            task="maze-fo",
            # Mostly the episodes of the optimal players in the data.
            algorithm=FilteredBC(),
            updates=300,
            start="maze-fo-bc",
            save_every=100,
            model=ModelConfig(context=64),
            data=DataConfig(player="mixture-whole", batch=8),
            rollouts=RolloutConfig(max_tokens=8),
            evaluation=EvaluationConfig(every=100, every_episodes=100),
            sampler=SamplerConfig(threads=1),
            learner=LearnerConfig(
                threads=1,
                optimiser=OptimiserConfig(lr=0.001, warmup=20, decay="linear"),
                micro_tokens=65_536,
            ),
        ),
        measured=Measured("offline-maze-fo", (-12.05, -12.05, -9.14), 1.6, "f430df7"),
    ),
    "maze-fo-online-filtered-bc": Preset(
        Experiment(
            task="maze-fo",
            algorithm=OnlineFilteredBC(),
            updates=60,
            start="maze-fo-bc",
            save_every=6,
            model=ModelConfig(context=64),
            data=DataConfig(player="mixture-whole", batch=8),
            rollouts=RolloutConfig(max_tokens=8),
            sampler=SamplerConfig(threads=1),
            learner=LearnerConfig(
                threads=1, optimiser=OptimiserConfig(lr=0.001), micro_tokens=65_536
            ),
        ),
        measured=None,
    ),
    "maze-fo-online-ilql": Preset(
        Experiment(
            task="maze-fo",
            # Each pass over a round propagates bootstrapped values by one token.
            algorithm=OnlineILQL(
                gamma=0.95,
                mc_updates=6,
                tau=0.9,
                cql_weight=0.05,
                polyak=0.2,
                value_start=-20.0,
                value_scale=5.0,
                value_bounds=(-20.0, 0.0),
                beta=8.0,
                epochs=40,
                minibatch=0,
            ),
            updates=40,
            start="maze-fo-bc",
            save_every=6,
            model=ModelConfig(context=64),
            data=DataConfig(player="mixture-whole", batch=8),
            rollouts=RolloutConfig(max_tokens=8),
            sampler=SamplerConfig(threads=1),
            learner=LearnerConfig(
                threads=1,
                optimiser=OptimiserConfig(lr=0.0005, warmup=20, decay="linear"),
                micro_tokens=65_536,
            ),
        ),
        measured=None,
    ),
    "maze-fo-mc": Preset(
        Experiment(
            task="maze-fo",
            # Values begin at -1 / (1 - gamma), the lowest return, or below. Otherwise a token that
            # was never tried would look good.
            algorithm=MC(
                gamma=0.95,
                cql_weight=0.05,
                value_start=-20.0,
                value_scale=5.0,
                endless=True,
                beta=8.0,
            ),
            updates=600,
            start="maze-fo-bc",
            save_every=100,
            model=ModelConfig(context=64),
            # Many equal rows make large batches cheap, and a large batch reduces the variance.
            data=DataConfig(player="mixture-whole", batch=64),
            rollouts=RolloutConfig(max_tokens=8),
            evaluation=EvaluationConfig(every=100, every_episodes=100),
            sampler=SamplerConfig(threads=1),
            learner=LearnerConfig(
                threads=1,
                optimiser=OptimiserConfig(lr=0.001, warmup=20, decay="linear"),
                micro_tokens=65_536,
            ),
        ),
        measured=Measured("offline-maze-fo", (-12.94, -11.37, -13.26), 4.8, "f430df7"),
    ),
    "maze-fo-ilql": Preset(
        Experiment(
            task="maze-fo",
            # A move is three tokens, and each of them bootstraps. The value of the goal propagates
            # over some sixty steps of the target network, so its step size is large.
            algorithm=ILQL(
                gamma=0.95,
                mc_updates=600,
                tau=0.9,
                cql_weight=0.05,
                polyak=0.2,
                value_start=-20.0,
                value_scale=5.0,
                value_bounds=(-20.0, 0.0),
                beta=8.0,
            ),
            updates=1500,
            start="maze-fo-bc",
            save_every=250,
            model=ModelConfig(context=64),
            data=DataConfig(player="mixture-whole", batch=48),
            rollouts=RolloutConfig(max_tokens=8),
            evaluation=EvaluationConfig(every=250, every_episodes=100),
            sampler=SamplerConfig(threads=1),
            learner=LearnerConfig(
                threads=1,
                optimiser=OptimiserConfig(lr=0.0005, warmup=20, decay="linear"),
                micro_tokens=65_536,
            ),
        ),
        measured=Measured("offline-maze-fo", (-6.87, -6.90, -6.95), 11.1, "f430df7"),
    ),
    "maze-fo-weighted-iql": Preset(
        Experiment(
            task="maze-fo",
            algorithm=WeightedIQL(
                gamma=0.95,
                tau=0.9,
                temperature=0.3,
                polyak=0.2,
                value_start=-20.0,
                value_scale=5.0,
                critic_updates=300,
            ),
            updates=1000,
            start="maze-fo-bc",
            save_every=250,
            model=ModelConfig(context=64),
            data=DataConfig(player="mixture-whole", batch=48),
            rollouts=RolloutConfig(max_tokens=8),
            evaluation=EvaluationConfig(every=250, every_episodes=100),
            sampler=SamplerConfig(threads=1),
            learner=LearnerConfig(
                threads=1,
                optimiser=OptimiserConfig(lr=0.0005, warmup=20, decay="linear"),
                micro_tokens=65_536,
            ),
        ),
        measured=None,
    ),
    "maze-fo-rwr": Preset(
        Experiment(
            task="maze-fo",
            # Returns differ by up to 20 between states, and by about 2 between moves.
            algorithm=RWR(gamma=0.95, temperature=1.0, cap=1000.0),
            updates=300,
            start="maze-fo-bc",
            save_every=100,
            model=ModelConfig(context=64),
            data=DataConfig(player="mixture-whole", batch=48),
            rollouts=RolloutConfig(max_tokens=8),
            evaluation=EvaluationConfig(every=100, every_episodes=100),
            sampler=SamplerConfig(threads=1),
            learner=LearnerConfig(
                threads=1,
                optimiser=OptimiserConfig(lr=0.001, warmup=20, decay="linear"),
                micro_tokens=65_536,
            ),
        ),
        measured=None,
    ),
    "maze-fo-qsft": Preset(
        Experiment(
            task="maze-fo",
            # Each step away from the goal multiplies a value by gamma. An error of the start
            # policy's probabilities multiplies it too, so gamma has to be the smaller factor. The
            # start policy's tail is cut off, since beta times a value is many nats.
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
            start="maze-fo-bc",
            save_every=250,
            model=ModelConfig(context=64),
            data=DataConfig(player="mixture-whole", batch=24),
            rollouts=RolloutConfig(max_tokens=8),
            evaluation=EvaluationConfig(every=250, every_episodes=100),
            sampler=SamplerConfig(threads=1),
            learner=LearnerConfig(
                threads=1,
                optimiser=OptimiserConfig(lr=0.0002, warmup=20, decay="linear"),
                micro_tokens=65_536,
            ),
        ),
        measured=Measured("offline-maze-fo", (-9.13, -7.40, -7.24), 11.3, "f430df7"),
    ),
    "maze-fo-bc-gpt2": Preset(
        Experiment(
            task="maze-fo",
            algorithm=BC(),
            updates=1000,
            model=ModelConfig(pretrained=True, context=128, layers=12, width=768, heads=12),
            data=DataConfig(player="mixture-whole", episodes=1240, batch=4),
            rollouts=RolloutConfig(max_tokens=8),
            evaluation=EvaluationConfig(start_episodes=25),
        ),
        measured=None,
    ),
    "maze-fo-ppo-gpt2": Preset(
        Experiment(
            task="maze-fo",
            algorithm=PPO(value_scale=10.0, value_start=-1.0, kl_coef=0.1, epochs=1, minibatch=128),
            updates=200,
            start="maze-fo-bc-gpt2",
            save_every=6,
            model=ModelConfig(pretrained=True, context=128, layers=12, width=768, heads=12),
            data=DataConfig(player="mixture-whole", batch=8),
            rollouts=RolloutConfig(turns=51_200, min_episodes=512, max_episodes=512, max_tokens=8),
            learner=LearnerConfig(optimiser=OptimiserConfig(lr=1e-06)),
        ),
        measured=None,
    ),
}
