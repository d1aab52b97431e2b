import pytest
import torch

from nnunet_pst.nnunet.training.training_step import keep_to_chosen_threads


@pytest.fixture(autouse=True)
def threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(("chosen", "used"), [("1", 1), ("1,2", 1), ("", 2), ("all", 2), ("0", 2)])
def test_a_training_keeps_to_the_threads_that_were_chosen(monkeypatch, chosen, used):
    monkeypatch.setenv("OMP_NUM_THREADS", chosen)
    keep_to_chosen_threads()
    assert torch.get_num_threads() == used


def test_unset_leaves_the_hosts_choice(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    keep_to_chosen_threads()
    assert torch.get_num_threads() == 2
