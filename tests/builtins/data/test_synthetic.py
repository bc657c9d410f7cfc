import torch


def test_options_decide_size_and_number(loaded):
    made = loaded("synthetic", num_classes=4, image_size=12, in_channels=2, train_images=40, test_images=9)
    task = made.data.task
    assert (task.num_classes, task.image_size, task.in_channels) == (4, 12, 2)
    assert made.data.sizes() == {"weights": 20, "arch": 20, "select": 0, "full": 40, "test": 9}


def test_classes_can_be_learned_but_images_differ(loaded):
    made = loaded("synthetic", train_images=300, test_images=100, image_size=16)
    (train, labels), (test, truth) = made.read("full", augment=False), made.read("test", augment=False)
    centres = torch.stack([train[labels == c].mean(0) for c in range(10)])
    guess = torch.cdist(test.flatten(1), centres.flatten(1)).argmin(1)
    assert (guess == truth).float().mean() > 0.9
    assert len(train.flatten(1).unique(dim=0)) == 300


def test_images_depend_on_the_data_seed_and_not_on_that_of_the_run(loaded):
    first = loaded("synthetic", train_images=20).stored("full")[0]
    assert torch.equal(first, loaded("synthetic", train_images=20, seed=7).stored("full")[0])
    assert not torch.equal(first, loaded("synthetic", train_images=20, data_seed=7).stored("full")[0])
