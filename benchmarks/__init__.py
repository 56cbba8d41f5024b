"""Measurements that the documents quote; each prints what it measured."""
