from crmlab.contract import generator


def test_the_same_names_give_the_same_numbers_and_others_do_not():
    first, again, other = (generator(1, *names).random() for names in (("a", "b"), ("a", "b"), ("ab",)))
    assert first == again != other


def test_global_state_changes_nothing():
    import numpy as np

    np.random.seed(1)  # noqa: NPY002
    before = generator(7, "x").random()
    np.random.seed(2)  # noqa: NPY002
    assert generator(7, "x").random() == before
