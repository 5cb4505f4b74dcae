"""Small applications, each made with a framework as its own documentation says; live tests run them
with the environment of `make env`.
"""
