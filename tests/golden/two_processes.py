"""Two processes of a distributed training on a CPU; `test_ddp` starts them and checks the results.

usage: two_processes.py FOLDER    (writes FOLDER/0.pt and FOLDER/1.pt)
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from nnunetv2.run.run_training import get_trainer_from_args
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from torch.nn.parallel import DistributedDataParallel

from nnunet_pst.network.losses import MaskedSoftDiceLoss

COUNT = 2


def example() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A batch of four images and labels, most of the tumor in the second half, and a weight."""
    draw = torch.Generator().manual_seed(0)
    images = torch.randn(4, 2, 8, 8, generator=draw, dtype=torch.float64)
    labels = torch.randint(0, 3, (4, 1, 8, 8), generator=draw)
    labels[0][labels[0] == 1] = 0
    return images, labels, torch.tensor([0.7, -1.3], dtype=torch.float64)


def loss_and_gradient(
    images: torch.Tensor, labels: torch.Tensor, weight: torch.Tensor, *, distributed: bool
) -> tuple[float, torch.Tensor]:
    weight = weight.clone().requires_grad_()
    logits = images * weight.reshape(1, 2, 1, 1)
    loss = MaskedSoftDiceLoss(ignore_label=2, distributed=distributed)(logits, labels)
    loss.backward()
    return loss.item(), weight.grad


def split_loss(rank: int) -> tuple[float, torch.Tensor]:
    """Loss and gradient of one half, the gradient averaged over processes as DDP does."""
    images, labels, weight = example()
    half = slice(0, 1) if rank == 0 else slice(1, 4)
    loss, gradient = loss_and_gradient(images[half], labels[half], weight, distributed=True)
    dist.all_reduce(gradient)
    return loss, gradient / COUNT


def make_trainer():
    """Start a trainer as the host does, without the parts that need CUDA."""
    host = sys.modules[nnUNetTrainer.__module__]
    host.DDP = lambda network, device_ids: DistributedDataParallel(network)
    torch.nn.SyncBatchNorm.convert_sync_batchnorm = lambda network: network
    trainer = get_trainer_from_args("DatasetPST", "2d_5", 0, "nnUNetTrainerPST25D_tiny")
    trainer.device, trainer.grad_scaler = torch.device("cpu"), None
    trainer.on_train_start()
    return trainer


def save_while_the_other_looks_on(trainer, file: Path) -> bool:
    """Let the second process save while the first has written half of a checkpoint.

    Returns whether the second process then saw a checkpoint that cannot be whole yet.
    """
    save = torch.save

    def half_then_whole(content: object, name: str) -> None:
        save(content, name)
        whole = Path(name).read_bytes()
        Path(name).write_bytes(whole[: len(whole) // 2])
        dist.barrier()
        dist.barrier()
        Path(name).write_bytes(whole)

    if trainer.local_rank == 0:
        torch.save = half_then_whole
        trainer.save_checkpoint(str(file))
        torch.save = save
        return False
    dist.barrier()
    trainer.save_checkpoint(str(file))
    seen = file.exists()
    dist.barrier()
    return seen


def process(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", rank=rank, world_size=COUNT, init_method=f"file://{folder}/meeting-point"
    )
    found = {"split_loss": split_loss(rank)}
    trainer = make_trainer()
    batch = next(trainer.dataloader_train)
    found["batch_size"] = trainer.batch_size
    found["data"], found["keys"] = batch["data"], batch["keys"]
    found["before"] = [p.detach().clone() for p in trainer.network.parameters()]
    found["loss"] = float(trainer.train_step(batch)["loss"])
    found["after"] = [p.detach().clone() for p in trainer.network.parameters()]
    file = Path(folder) / "checkpoint_latest.pth"
    found["seen_too_early"] = save_while_the_other_looks_on(trainer, file)
    torch.save(found, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


if __name__ == "__main__":
    mp.spawn(process, args=(sys.argv[1],), nprocs=COUNT)
