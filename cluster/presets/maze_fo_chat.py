"""Presets of instruct models in the fully observed maze, with LoRA in bfloat16.

`smollm2` trains on a CPU too; `make smollm2` gets it. The Qwen presets are for one GPU. Online and
value-based presets start from the clone that `maze-fo-NAME-bc` leaves in its default run directory;
`--model.path` names another start. A model that is not cloned first rarely makes a legal move.
"""

from actors.config import SamplerConfig
from cluster.config import DataConfig, EvaluationConfig, PlacementConfig, RolloutConfig
from cluster.experiment import Experiment
from cluster.presets.preset import Preset
from learners.algorithms.base import Algorithm
from learners.algorithms.offline.bc import BC
from learners.algorithms.offline.ilql import ILQL
from learners.algorithms.online.grpo import GRPO
from learners.algorithms.online.ppo import PPO
from learners.checkpoints.initial import ModelConfig
from learners.config import LearnerConfig, LoraConfig, OptimiserConfig

QWEN = "Qwen/Qwen2.5-0.5B-Instruct"
CUDA = PlacementConfig(device="cuda")
ANY = PlacementConfig()


def _chat(
    algorithm: Algorithm,
    model: str,
    optimiser: OptimiserConfig,
    *,
    updates: int,
    batch: int = 16,
    placement: PlacementConfig = ANY,
) -> Experiment:
    """Return a training of an instruct model, whose contexts of the maze have some 180 tokens."""
    return Experiment(
        task="maze-fo",
        algorithm=algorithm,
        updates=updates,
        model=ModelConfig(path=model, context=512),
        data=DataConfig(player="mixture-whole", batch=batch),
        rollouts=RolloutConfig(max_tokens=8),
        evaluation=EvaluationConfig(episodes=100, start_episodes=0, random=False),
        sampler=SamplerConfig(dtype="bfloat16"),
        learner=LearnerConfig(optimiser=optimiser, lora=LoraConfig(rank=16)),
        placement=placement,
    )


BC_STEPS = OptimiserConfig(lr=6e-4, dtype="bfloat16")
ONLINE_STEPS = OptimiserConfig(lr=5e-4, head_lr=3e-3, warmup=4, dtype="bfloat16")
CRITIC_STEPS = OptimiserConfig(lr=1e-4, head_lr=1e-3, warmup=20, dtype="bfloat16")
PPO_IN_MAZE = PPO(value_scale=10.0, value_start=-30.0, kl_coef=0.05, minibatch=2048)
GRPO_IN_MAZE = GRPO(kl_coef=0.05, minibatch=2048)
ILQL_IN_MAZE = ILQL(
    gamma=0.95,
    mc_updates=100,
    tau=0.9,
    cql_weight=0.05,
    polyak=0.1,
    value_start=-20.0,
    value_scale=5.0,
    value_bounds=(-20.0, 0.0),
    beta=8.0,
)
SMOLLM2_CLONE = "runs/maze-fo-smollm2-bc/checkpoints/last"
QWEN_CLONE = "runs/maze-fo-qwen-bc/checkpoints/last"

PRESETS: dict[str, Preset] = {
    "maze-fo-smollm2-bc": Preset(_chat(BC(), "smollm2", BC_STEPS, updates=60), measured=None),
    "maze-fo-smollm2-ppo": Preset(
        _chat(PPO_IN_MAZE, SMOLLM2_CLONE, ONLINE_STEPS, updates=24), measured=None
    ),
    "maze-fo-smollm2-grpo": Preset(
        _chat(GRPO_IN_MAZE, SMOLLM2_CLONE, ONLINE_STEPS, updates=24), measured=None
    ),
    "maze-fo-smollm2-ilql": Preset(
        _chat(ILQL_IN_MAZE, SMOLLM2_CLONE, CRITIC_STEPS, updates=400), measured=None
    ),
    "maze-fo-qwen-bc": Preset(
        _chat(BC(), QWEN, BC_STEPS, updates=60, placement=CUDA), measured=None
    ),
    "maze-fo-qwen-ppo": Preset(
        _chat(PPO_IN_MAZE, QWEN_CLONE, ONLINE_STEPS, updates=24, placement=CUDA), measured=None
    ),
    "maze-fo-qwen-grpo": Preset(
        _chat(GRPO_IN_MAZE, QWEN_CLONE, ONLINE_STEPS, updates=24, placement=CUDA), measured=None
    ),
    "maze-fo-qwen-ilql": Preset(
        _chat(ILQL_IN_MAZE, QWEN_CLONE, CRITIC_STEPS, updates=400, placement=CUDA), measured=None
    ),
}
