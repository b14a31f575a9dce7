"""The marker that scikit-learn's own tests carry, which are run beside ours."""


def pytest_configure(config):
    config.addinivalue_line("markers", "no_check_spmatrix: of scikit-learn's tests; means nothing here")
