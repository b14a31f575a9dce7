"""The Params of estimators and models, their converters, setters and checks, and the table of names."""
